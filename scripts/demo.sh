#!/usr/bin/env bash
# Sample texts through a local Kafka and a local Flink: texts in, labelled records out.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/demo.sh [--once]

Builds what is missing, starts a local Kafka and a local Flink cluster, runs the ready models, publishes sample texts
and prints what comes out. It then stays up, so that you can publish texts of your own, until Ctrl-C.

  --once    leave after the samples; the exit status is 0 when all of them came out

It keeps its state apart, in .labelstream/demo (or $LABELSTREAM_STATE/demo), and takes the ports 9092 and 8081, or the
next ones that are free.
USAGE
}

once=false
for word in "$@"; do
  case "$word" in
    -h | --help) usage && exit 0 ;;
    --once) once=true ;;
    *) misuse "There is no option $word" ;;
  esac
done

SAMPLES="$ROOT/scripts/demo"
LABELSTREAM_STATE="$STATE/demo"
export LABELSTREAM_STATE
kafka() { "$ROOT/scripts/kafka-local.sh" "$@"; }
flink() { "$ROOT/scripts/flink-local.sh" "$@"; }

# Goes through whatever happens: a second Ctrl-C, or a terminal that has gone.
stop() {
  trap - EXIT
  trap '' INT TERM HUP
  set +e
  say ""
  say "Stopping Flink and Kafka ..."
  flink stop >&2
  kafka stop >&2
}

find_java
ensure_built kafka-local scripts/flink-local job
if kafka status >/dev/null || flink status >/dev/null; then
  fail "The demo runs already: press Ctrl-C in its terminal, or, where that has gone, stop it with LABELSTREAM_STATE=$LABELSTREAM_STATE scripts/flink-local.sh stop and the same for scripts/kafka-local.sh."
fi
rm -rf "${LABELSTREAM_STATE:?}/kafka" "$LABELSTREAM_STATE/flink/checkpoints"
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

kafka start --port "$(free_port 9092)" >&2
LABELSTREAM_KAFKA="$(cat "$LABELSTREAM_STATE/kafka/address")"
export LABELSTREAM_KAFKA
kafka create texts labels dead-letters >/dev/null
flink start --port "$(free_port 8081)" >&2
flink submit "$SAMPLES/job.yaml" >/dev/null

say ""
say "Publishing $(wc -l <"$SAMPLES/sentiment.txt" | tr -d ' ') texts, one of them broken, to the topic texts:"
say ""
sed 's/^/  /' "$SAMPLES/sentiment.txt" >&2
kafka produce texts <"$SAMPLES/sentiment.txt" 2>/dev/null

broken=1
labelled=$(($(wc -l <"$SAMPLES/sentiment.txt") - broken))
say ""
say "The topic labels:"
say ""
kafka consume labels --max "$labelled" --timeout 120s >"$LABELSTREAM_STATE/labels.jsonl"
cat "$LABELSTREAM_STATE/labels.jsonl"
[ "$(wc -l <"$LABELSTREAM_STATE/labels.jsonl")" -eq "$labelled" ] ||
  fail "Not all of the $labelled texts came out within 120 s: see $LABELSTREAM_STATE/flink/log."
say ""
say "The topic dead-letters, with what is wrong in the headers:"
say ""
kafka consume dead-letters --headers --max "$broken" --timeout 60s >"$LABELSTREAM_STATE/dead-letters.txt"
cat "$LABELSTREAM_STATE/dead-letters.txt"
[ "$(wc -l <"$LABELSTREAM_STATE/dead-letters.txt")" -eq "$broken" ] ||
  fail "The broken text has not come out within 60 s: see $LABELSTREAM_STATE/flink/log."
say ""
say "Each text is in one of the two topics. That was $labelled labelled records and $broken dead letter, all through Kafka."
if "$once"; then
  exit 0
fi
cat >&2 <<STAY

Flink's web UI: http://127.0.0.1:$(cat "$LABELSTREAM_STATE/flink/run/port")
Publish texts of your own from another terminal, one a line; what comes out is printed here:

  LABELSTREAM_KAFKA=$LABELSTREAM_KAFKA scripts/kafka-local.sh produce texts

Ctrl-C ends it all.

STAY
kafka consume labels --latest
