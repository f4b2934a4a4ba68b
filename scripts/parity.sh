#!/usr/bin/env bash
# The parity table: every fixture model against the outputs of the Hugging Face pipelines for the same checkpoint.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case "${1:-}" in
  -h | --help)
    cat <<'USAGE'
Usage: scripts/parity.sh [--sweep [OPTION...]]

Runs the fixture models (random weights, all architectures, tasks and precisions) over the recorded inputs and prints
how far the results are from those of the Hugging Face pipelines. The exit status is 0 when all agree: scores within
1e-4 in fp32, and labels, spans and words wherever the reference's own margin is larger.

With --sweep: a tiny random checkpoint of every architecture that transformers has for the tasks is made, exported and
compared with transformers itself (half an hour or more); the table is written to docs/architectures.md. Options of the
sweep: --only NAME,..., --task TASK (these write no table), --folders DIR (keeps what is made).
USAGE
    exit 0
    ;;
  --sweep)
    shift
    cd "$ROOT/scripts/exporter"
    case " $* " in
      *" --only "* | *" --task "* | *" --help "*) ;;
      *) set -- --table "$ROOT/docs/architectures.md" "$@" ;;
    esac
    exec python3 bootstrap.py --dev -- python sweep.py "$@"
    ;;
  '') ;;
  *) misuse "There is no option $1" ;;
esac

find_java
log="$ROOT/target/parity.log"
mkdir -p "$ROOT/target"
say "Comparing (about a minute) ..."
status=0
mvn -B -ntp -f "$ROOT/pom.xml" -pl operators test -Dtest=ParityTest -Dspotless.check.skip=true >"$log" 2>&1 </dev/null || status=$?
grep '^| ' "$log" || true
[ "$status" -eq 0 ] || fail "Not all agree: see $log."
