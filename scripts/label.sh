#!/usr/bin/env bash
# The operators of the job over lines of files or of standard input, without Kafka and without a cluster.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

find_java
ensure_built scripts/flink-local job
unpack_bundle "$STATE/lib"
export DJL_CACHE_DIR="$STATE/djl" # natives are unpacked here, not into the user's home
export OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=2
exec "$JAVA" -Xmx1g -XX:+UseSerialGC -XX:-UsePerfData "${FLINK_ADD_OPENS[@]}" \
  "-Dlog4j.configurationFile=$ROOT/scripts/label.log4j.properties" \
  -cp "$ROOT/job/target/labelstream-job.jar:$ROOT/scripts/flink-local/target/lib/*:$STATE/lib/*" \
  org.labelstream.job.LabelCommand "$@"
