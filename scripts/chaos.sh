#!/usr/bin/env bash
# Breaks everything around a job under load, and counts what comes out.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/chaos.sh [--minutes N] [--seed S]

A Kafka broker, and a Flink cluster of two TaskManagers and a JobManager with high availability, each a process of its
own; a job of all four tasks, exactly-once, under steady load, with explanations and broken records among it. Then, at
random: TaskManagers and JobManager killed and replaced, a TaskManager frozen, the broker killed, and away for longer
than the producers' delivery.timeout.ms, the checkpoints' folder away, records that the output topic refuses, a
savepoint and another parallelism. At the end it waits until all is answered, and prints a table: faults, records sent,
labelled, dead letters, explanations owed and made, lost, repeated, out of order, the longest gap, memory.

  --minutes N    how long faults are injected (default: 3, in which each comes once)
  --seed S       which faults when (default: one of now, which is printed)

The exit status is 1 when anything was lost, repeated or out of order.
USAGE
}

minutes=3
seed="$(date +%s)"
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --minutes | --seed)
      [ $# -ge 2 ] || misuse "$1 needs a value"
      case "$2" in '' | *[!0-9]*) misuse "$1 is $2, but must be a whole number" ;; esac
      if [ "$1" = --minutes ]; then minutes="$2"; else seed="$2"; fi
      shift
      ;;
    *) misuse "There is no option $1" ;;
  esac
  shift
done
find_java
command -v mvn >/dev/null || fail "No mvn was found: install Maven 3.8 or later."
cd "$ROOT"
LOG="$ROOT/target/chaos.log"
mkdir -p "$ROOT/target"
say "Building ..."
mvn -B -ntp verify -pl job -am -Dtest=NoSuchTest -Dit.test=ChaosITCase -Dsurefire.failIfNoSpecifiedTests=false \
  -Dfailsafe.failIfNoSpecifiedTests=false "-Dlabelstream.chaos.minutes=$minutes" "-Dlabelstream.chaos.seed=$seed" \
  </dev/null 2>&1 | tee "$LOG" | grep --line-buffered -E '^chaos: |^  [a-z].{45} |COMPILATION ERROR|Expecting' || true
grep -q 'BUILD SUCCESS' "$LOG" || fail "Something was lost, repeated or out of order, or could not be started: see $LOG."
