#!/usr/bin/env bash
# Sample texts through a local Kafka and a local Flink: texts in, labelled records out.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/demo.sh [--sql] [--once]

Builds what is missing, starts a local Kafka and a local Flink cluster, runs the four ready models (sentiment, entities,
answers, writer), publishes sample texts for each and prints what comes out. It then stays up, so that you can publish
texts of your own, until Ctrl-C.

  --sql     runs scripts/demo/demo.sql in Flink's SQL client instead: reviews by two models into four topics
  --once    leave after the samples; the exit status is 0 when all of them came out

It keeps its state apart, in .labelstream/demo (or $LABELSTREAM_STATE/demo), and takes the ports 9092 and 8081, or the
next ones that are free.
USAGE
}

once=false
sql=false
for word in "$@"; do
  case "$word" in
    -h | --help) usage && exit 0 ;;
    --once) once=true ;;
    --sql) sql=true ;;
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
if "$sql"; then
  kafka create reviews labels unsure found counts >/dev/null
else
  kafka create texts labels explanations news entities questions answers prompts stories dead-letters >/dev/null
fi
flink start --port "$(free_port 8081)" >&2

# count FILE: how many lines it has.
count() { wc -l <"$1" | tr -d ' '; }

# expect TOPIC N [OPTION...]: prints N records of a topic, as they come.
expect() {
  local topic="$1" n="$2"
  shift 2
  kafka consume "$topic" --max "$n" --timeout 120s "$@" >"$LABELSTREAM_STATE/$topic.jsonl"
  cat "$LABELSTREAM_STATE/$topic.jsonl"
  [ "$(count "$LABELSTREAM_STATE/$topic.jsonl")" -eq "$n" ] ||
    fail "Not all $n records came to the topic $topic within 120 s: see $LABELSTREAM_STATE/flink/log."
}

# stay TEXT OUTPUT: until Ctrl-C, unless once is true; prints what comes to the topic OUTPUT.
stay() {
  if "$once"; then exit 0; fi
  cat >&2 <<STAY

Flink's web UI: http://127.0.0.1:$(cat "$LABELSTREAM_STATE/flink/run/port")
$1

Ctrl-C ends it all.

STAY
  kafka consume "$2" --latest
}

if "$sql"; then
  sed "s/localhost:9092/$LABELSTREAM_KAFKA/" "$SAMPLES/demo.sql" >"$LABELSTREAM_STATE/demo.sql"
  say ""
  say "The statements of scripts/demo/demo.sql, which Flink's SQL client runs:"
  say ""
  sed 's/^/  /' "$SAMPLES/demo.sql" >&2
  flink sql -f "$LABELSTREAM_STATE/demo.sql" >"$LABELSTREAM_STATE/sql.out" 2>&1 ||
    fail "The statements could not be run: $(sed -n '/ERROR/,$p' "$LABELSTREAM_STATE/sql.out")"
  say ""
  say "Reviews: to the topic reviews"
  say ""
  sed 's/^/  /' "$SAMPLES/reviews.jsonl" >&2
  kafka produce reviews <"$SAMPLES/reviews.jsonl" 2>/dev/null
  for topic in labels:6 unsure:2 found:5 counts:2; do
    say ""
    say "The topic ${topic%:*}:"
    say ""
    expect "${topic%:*}" "${topic#*:}"
  done
  say ""
  say "That was a job of four INSERTs, with two models in it, all through Kafka."
  stay "Publish reviews of your own from another terminal, such as {\"id\": \"1\", \"text\": \"…\"}; the topic labels is printed here:

  LABELSTREAM_KAFKA=$LABELSTREAM_KAFKA scripts/kafka-local.sh produce reviews

and the topics unsure, found and counts have the rest." labels
  exit
fi
flink submit "$SAMPLES/job.yaml" >/dev/null

total=0
# show TITLE INPUT OUTPUT BROKEN: publishes the samples of a topic and prints what becomes of all but the broken ones.
show() {
  local samples="$SAMPLES/$2.txt" n
  n=$(($(count "$samples") - $4))
  say ""
  say "$1: to the topic $2"
  say ""
  sed 's/^/  /' "$samples" >&2
  kafka produce "$2" <"$samples" 2>/dev/null
  say ""
  say "The topic $3:"
  say ""
  expect "$3" "$n"
  total=$((total + n))
}

show "Texts, one of them broken" texts labels 1
say ""
say "One of them asked why. The topic explanations (scripts/report.sh makes a page of such records):"
say ""
expect explanations 1
show "News" news entities 0
show "Questions, one of them missing" questions answers 1
show "Beginnings of stories" prompts stories 0
say ""
say "The topic dead-letters, with what is wrong in the headers:"
say ""
expect dead-letters 2 --headers
say ""
say "That was $total labelled records, 1 explanation and 2 dead letters, all through Kafka."
stay "Publish texts of your own from another terminal, one a line; the topic labels is printed here:

  LABELSTREAM_KAFKA=$LABELSTREAM_KAFKA scripts/kafka-local.sh produce texts

and likewise news, questions and prompts, whose results \`kafka-local.sh consume\` reads from entities, answers and stories." labels
