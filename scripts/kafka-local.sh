#!/usr/bin/env bash
# A local Kafka broker in the background, and a console for it.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/kafka-local.sh COMMAND [OPTION...]

A local Kafka broker, one node in a JVM of its own, and a console for it.

  start                 starts the broker in the background, and waits until it answers
  stop                  stops it; what it holds stays
  status                says whether and where it runs (exit status 1 when it does not)
  produce TOPIC         sends each line of standard input as a record
  consume TOPIC...      prints records, one a line, until Ctrl-C (or --max N, --timeout 10s)
  create TOPIC...       makes topics (--partitions N)
  topics                lists topics

Each has --help, which lists its options. For start: --port N (or LABELSTREAM_KAFKA_PORT; default 9092, 0 for a
free one), --controller-port N (default: a free one), --property NAME=VALUE (any broker property), --secure
(TLS, users with passwords, ACLs: the console comes as admin, a job with the properties that start names).

The broker listens on 127.0.0.1 only. Its state and its log are in .labelstream/kafka of the repository, or in
$LABELSTREAM_STATE/kafka. The console speaks to --bootstrap HOST:PORT, otherwise to $LABELSTREAM_KAFKA, otherwise
to the broker that runs here; to a secured one with --command-config FILE, otherwise $LABELSTREAM_KAFKA_CONFIG.
USAGE
}

HOME_FOLDER="$STATE/kafka"
PID_FILE="$HOME_FOLDER/broker.pid"
ADDRESS_FILE="$HOME_FOLDER/address"
OUTPUT="$HOME_FOLDER/log/start.log"
KEYS="$HOME_FOLDER/secure"
CLASSPATH="$ROOT/kafka-local/target/kafka-local/lib/*"
MAIN=org.labelstream.kafka.Main

console() {
  if running_pid "$PID_FILE" >/dev/null; then
    if [ -z "${LABELSTREAM_KAFKA:-}" ] && started; then
      LABELSTREAM_KAFKA="$(cat "$ADDRESS_FILE")"
      export LABELSTREAM_KAFKA
      if [ -z "${LABELSTREAM_KAFKA_CONFIG:-}" ] && [ -f "$KEYS/admin.properties" ]; then
        export LABELSTREAM_KAFKA_CONFIG="$KEYS/admin.properties"
      fi
    fi
  else
    ensure_built kafka-local # not under a running broker, whose jars these are
  fi
  # Short lives: the quick compiler and the plain collector start fastest.
  exec "$JAVA" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$CLASSPATH" "$MAIN" "$@"
}

start() {
  local word
  for word in "$@"; do
    case "$word" in -h | --help) console start --help ;; esac
  done
  if running_pid "$PID_FILE" >/dev/null; then
    wait_until 60 started || fail "Kafka is starting, but has not answered for 60 s: see $HOME_FOLDER/log/broker.log."
    printf 'Kafka runs already on %s\n' "$(cat "$ADDRESS_FILE")"
    return
  fi
  ensure_built kafka-local
  mkdir -p "$HOME_FOLDER"
  rm -f "$ADDRESS_FILE" # one that a broker could not remove, because it was killed
  start_java "$PID_FILE" "$OUTPUT" -Xmx512m -XX:+UseSerialGC -cp "$CLASSPATH" "$MAIN" \
    start --folder "$HOME_FOLDER" "$@"
  wait_until 90 started_or_gone || fail "Kafka has not answered for 90 s: see $HOME_FOLDER/log/broker.log."
  if [ ! -f "$ADDRESS_FILE" ]; then
    rm -f "$PID_FILE"
    fail "$(cat "$OUTPUT")"
  fi
  printf 'Kafka listens on %s\n' "$(cat "$ADDRESS_FILE")"
  if [ -f "$KEYS/job.properties" ]; then
    printf 'Only TLS and users with a password are let in: a job takes the properties in %s (see docs/cluster.md),\nand the console comes with those of admin.properties beside it\n' "$KEYS/job.properties"
  fi
}

started() { [ -f "$ADDRESS_FILE" ]; }
started_or_gone() { started || is_gone "$PID_FILE"; }

[ $# -gt 0 ] || misuse "Say what to do"
command="$1"
shift
case "$command" in
  -h | --help | help) usage ;;
  start)
    find_java
    start "$@"
    ;;
  stop)
    if [ $# -gt 0 ]; then
      case "$1" in -h | --help) usage && exit 0 ;; *) misuse "stop takes no options, but was given $1" ;; esac
    fi
    if running_pid "$PID_FILE" >/dev/null; then
      stop_java "$PID_FILE" Kafka
      echo "Kafka has stopped"
    else
      rm -f "$PID_FILE"
      echo "Kafka is not running"
    fi
    ;;
  status)
    if [ $# -gt 0 ]; then
      case "$1" in -h | --help) usage && exit 0 ;; *) misuse "status takes no options, but was given $1" ;; esac
    fi
    if pid="$(running_pid "$PID_FILE")"; then
      if started; then
        printf 'Kafka runs on %s (process %s)\n' "$(cat "$ADDRESS_FILE")" "$pid"
      else
        printf 'Kafka is starting (process %s)\n' "$pid"
      fi
    else
      echo "Kafka is not running"
      exit 1
    fi
    ;;
  *)
    find_java
    console "$command" "$@"
    ;;
esac
