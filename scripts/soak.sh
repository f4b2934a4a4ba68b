#!/usr/bin/env bash
# Whether a cluster stays as small as it was: over time at full load, or over jobs that come and go.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/soak.sh --minutes N | --rounds N

  --minutes N    a job of two pipelines (sentiment with explanations, entities) whose topics are never empty, for N minutes
                 (6 at least). Prints what has come out and the resident memory of the JobManager and the TaskManager, once a
                 minute.
  --rounds N     a job that is submitted, labels, and is cancelled, N times (6 at least). Prints after each fifth, and after
                 a collection of garbage, resident memory, threads, open files, loaded classes and metaspace of both.

The exit status is 1 when the TaskManager's last figure is more than 5 % above that of minute 5, or of round 5. Broker and
cluster are its own, on free ports; their state is in .labelstream/soak, or in $LABELSTREAM_STATE/soak, and ends with it.
USAGE
}

mode=""
count=0
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --minutes | --rounds)
      [ $# -ge 2 ] || misuse "$1 needs a value"
      case "$2" in '' | 0* | *[!0-9]*) misuse "$1 is $2, but must be a whole number" ;; esac
      mode="${1#--}"
      count="$2"
      shift
      ;;
    *) misuse "There is no option $1" ;;
  esac
  shift
done
[ -n "$mode" ] || misuse "Say what to do: --minutes N or --rounds N"
[ "$count" -gt 5 ] || misuse "--$mode is $count, but what comes after the fifth is compared with it: 6 at least"

find_java
JCMD="$(dirname "$(readlink -f "$JAVA")")/jcmd"
[ -x "$JCMD" ] || fail "There is no jcmd beside $JAVA: set JAVA_HOME to a JDK."
[ -d /proc/self/fd ] || fail "Memory and open files are read from /proc, which this system does not have: run it on Linux."
export LABELSTREAM_STATE="$STATE/soak" LABELSTREAM_KAFKA_PORT=0
S="$ROOT/scripts"
JOB="$LABELSTREAM_STATE/job.yaml"

end() {
  "$S/flink-local.sh" stop >/dev/null 2>&1 || true
  "$S/kafka-local.sh" stop >/dev/null 2>&1 || true
  rm -rf "$LABELSTREAM_STATE"
}
trap end EXIT
trap 'exit 130' INT TERM

# Texts of 5 to 80 words, one in 200 with an explanation; always the same ones.
texts() {
  awk -v n="$1" 'BEGIN {
    srand(7); split("the film was a quiet story of Ada in London and nobody at Acme forgot how good bad long it felt when Berlin", w, " ")
    for (i = 0; i < n; i++) {
      s = ""; k = 5 + int(rand() * rand() * 75); for (j = 0; j < k; j++) s = s w[1 + int(rand() * 23)] " "
      printf "{\"id\": %d, \"text\": \"%s\"%s}\n", i, s, i % 200 == 0 ? ", \"explain\": true" : ""
    }
  }'
}

# How many records a topic has had. A busy broker may need to be asked again.
records() {
  local try count
  for try in 1 2 3 4 5; do
    count="$("$S/kafka-local.sh" topics 2>/dev/null | awk -F '\t' -v t="$1" '$1 == t { print $3 }')" || count=""
    [ -z "$count" ] || break
    sleep "$try"
  done
  [ -n "$count" ] || fail "The broker says nothing of the topic $1."
  printf '%s' "$count"
}
resident() { awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$1/status"; }

# within FIRST LAST WHAT: whether the last figure is at most 5 % above the first.
within() {
  local grown
  grown="$(awk -v a="$1" -v b="$2" 'BEGIN { printf "%+.1f %%", (b / a - 1) * 100 }')"
  printf '%s: %s after five, %s at the end (%s)\n' "$3" "$1" "$2" "$grown"
  awk -v a="$1" -v b="$2" 'BEGIN { exit b > a * 1.05 }'
}

"$S/kafka-local.sh" start >/dev/null
"$S/flink-local.sh" start --port "$(free_port 18081)" >/dev/null
"$S/kafka-local.sh" create texts labels entities dead why --config retention.bytes=268435456 2>/dev/null
cat >"$JOB" <<YAML
name: soak
pipelines:
  - name: sentiment
    model: $ROOT/model-assets/sentiment
    cache: {in-flight: false}
    input: {topic: texts, start: earliest}
    output: {topic: labels}
    explanations: {topic: why}
    dead-letters: {topic: dead}
  - name: entities
    model: $ROOT/model-assets/entities
    cache: {in-flight: false}
    input: {topic: texts, start: earliest}
    output: {topic: entities}
    dead-letters: {topic: dead}
kafka:
  common: {bootstrap.servers: "$(cat "$LABELSTREAM_STATE/kafka/address")"}
  consumer: {group.id: soak}
delivery: exactly-once
flink: {execution.checkpointing.interval: 5s}
YAML
taskmanager="$(cat "$LABELSTREAM_STATE/flink/run/taskmanager-1.pid")"
jobmanager="$(cat "$LABELSTREAM_STATE/flink/run/jobmanager.pid")"

minutes() {
  local minute out sent=0 first=0 now=0 began
  texts 20000 >"$LABELSTREAM_STATE/texts"
  feed() {
    # A busy broker may need to be asked again; what had come through then comes twice.
    until "$S/kafka-local.sh" produce texts <"$LABELSTREAM_STATE/texts" 2>/dev/null; do sleep 5; done
    sent=$((sent + 20000))
  }
  feed
  "$S/flink-local.sh" submit "$JOB" >/dev/null
  began="$(date +%s)"
  printf '%6s %12s %12s %16s %16s\n' minute labelled entities "JobManager MiB" "TaskManager MiB"
  for ((minute = 1; minute <= count; minute++)); do
    while [ $(($(date +%s) - began)) -lt $((minute * 60)) ]; do
      out="$(records labels)"
      # More than it labels between two looks.
      while [ $((sent - out)) -lt 40000 ]; do feed; done
      sleep 5
    done
    now="$(resident "$taskmanager")"
    [ "$minute" -ne 5 ] || first="$now"
    printf '%6d %12d %12d %16d %16d\n' "$minute" "$(records labels)" "$(records entities)" "$(resident "$jobmanager")" "$now"
  done
  [ "$(records dead)" -eq 0 ] || fail "There are dead letters, which there should not be."
  within "$first" "$now" "Resident memory of the TaskManager (MiB)"
}

# figures PID: resident MiB, threads, open files, loaded classes, metaspace KiB; after a collection of garbage.
figures() {
  local i
  for i in 1 2; do "$JCMD" "$1" GC.run >/dev/null; done
  sleep 1
  printf '%s %s %s %s %s' "$(resident "$1")" "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l)" \
    "$(find "/proc/$1/fd" -mindepth 1 | wc -l)" \
    "$("$JCMD" "$1" VM.classloader_stats | awk '$1 == "Total" { print $4 }')" \
    "$("$JCMD" "$1" GC.heap_info | awk '/Metaspace/ { sub("K,", "", $3); print $3 }')"
}

rounds() {
  local round id before first=() now=() names=("Resident MiB" Threads "Open files" "Loaded classes" "Metaspace KiB") i status=0 figure
  texts 200 | "$S/kafka-local.sh" produce texts 2>/dev/null
  printf '%5s %-12s %9s %8s %11s %15s %14s\n' round of "${names[@]}"
  for ((round = 1; round <= count; round++)); do
    before="$(records labels)"
    id="$("$S/flink-local.sh" submit "$JOB" 2>/dev/null)"
    wait_until 60 labelled $((before + 200)) || fail "Round $round has labelled nothing within 60 s."
    "$S/flink-local.sh" cancel "$id" >/dev/null 2>&1
    [ $((round % 5)) -eq 0 ] || [ "$round" -eq "$count" ] || continue
    sleep 2
    figure="$(figures "$jobmanager")"
    # shellcheck disable=SC2086
    printf '%5d %-12s %9s %8s %11s %15s %14s\n' "$round" JobManager $figure
    figure="$(figures "$taskmanager")"
    # shellcheck disable=SC2086
    printf '%5d %-12s %9s %8s %11s %15s %14s\n' "$round" TaskManager $figure
    read -r -a now <<<"$figure"
    [ "$round" -ne 5 ] || first=("${now[@]}")
  done
  for i in 0 1 2 3 4; do within "${first[$i]}" "${now[$i]}" "${names[$i]} of the TaskManager" || status=1; done
  return "$status"
}

labelled() { [ "$(records labels)" -ge "$1" ]; }

"$mode"
