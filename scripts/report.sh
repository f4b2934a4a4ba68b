#!/usr/bin/env bash
# Explanations as one HTML page.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

find_java
ensure_built job
exec "$JAVA" -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
  -cp "$ROOT/job/target/labelstream-job.jar" org.labelstream.job.ReportCommand "$@"
