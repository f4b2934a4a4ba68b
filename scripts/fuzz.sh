#!/usr/bin/env bash
# Looks for inputs that break what reads them.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/fuzz.sh [--seconds N] [TARGET...]

Feeds what reads input with bytes that Jazzer makes up, guided by what they reach, and ends at the first that is neither
read nor refused with a sentence. The targets: EventCodec (records), AvroReader (records in Avro), Parameters (of a record), LabelMapping
(index_to_name.json), Manifest (labelstream.json and its neighbours), JobFile; all of them unless some are named.

  --seconds N    for how long, for each target (default: 300)

It starts from the inputs in src/test/resources/fuzz of the target's module, each of which is also a test; what it learns is
kept in .labelstream/fuzz of the repository. An input that breaks something is kept there as crash-…: mend what it breaks,
and move it to the others.
USAGE
}

seconds=300
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --seconds)
      [ $# -ge 2 ] || misuse "$1 needs a value"
      case "$2" in '' | 0* | *[!0-9]*) misuse "--seconds is $2, but must be a whole number above 0" ;; esac
      seconds="$2"
      shift
      ;;
    -*) misuse "There is no option $1" ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || targets=(EventCodec AvroReader Parameters LabelMapping Manifest JobFile)
for target in "${targets[@]}"; do
  case "$target" in
    EventCodec | AvroReader | Parameters | LabelMapping | Manifest | JobFile) ;;
    *) misuse "There is no target $target" ;;
  esac
done

find_java
command -v mvn >/dev/null || fail "No mvn was found: install Maven 3.8 or later."
cd "$ROOT"
say "Building ..."
mvn -q -B -ntp test-compile dependency:build-classpath -pl job -am -Dmdep.includeScope=test \
  -Dmdep.outputFile=target/fuzz.classpath || fail "The build has failed: see above."

broken=0
for target in "${targets[@]}"; do
  module=operators
  [ "$target" != JobFile ] || module=job
  class="$(cd "$module/src/test/java" && find . -name "${target}FuzzTest.java" | sed 's|^\./||; s|\.java$||; s|/|.|g')"
  learnt="$STATE/fuzz/$target"
  mkdir -p "$learnt"
  say "$target, for $seconds s ..."
  # Memory is bounded by the heap; libFuzzer's own bound would count the JVM.
  (
    cd "$module"
    "$JAVA" -Xmx1g -XX:+EnableDynamicAgentLoading -cp "target/test-classes:target/classes:$(cat target/fuzz.classpath)" \
      com.code_intelligence.jazzer.Jazzer --target_class="$class" --instrumentation_includes='org.labelstream.**' \
      --reproducer_path="$learnt" -artifact_prefix="$learnt/" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=0 \
      -max_len=4096 -print_final_stats=1 "$learnt" "src/test/resources/fuzz/${target}FuzzTest"
  ) >"$learnt.log" 2>&1 || broken=1
  sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' "$learnt.log"
  if grep -q '== Java Exception\|^==.*ERROR' "$learnt.log"; then
    sed -n '/== Java Exception/,/^$/p' "$learnt.log" | sed -n 1,12p
    say "  $target is broken by an input in $learnt; all that was said is in $learnt.log."
  fi
done
[ "$broken" -eq 0 ] || fail "Not every target held: see above, and $STATE/fuzz."
