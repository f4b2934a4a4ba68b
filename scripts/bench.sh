#!/usr/bin/env bash
# Measures Labelstream against what its users would run otherwise, in one run.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/bench.sh --explanations [OPTION...]
       scripts/bench.sh --turns [--records N]
       scripts/bench.sh --sql [--model MODEL_FOLDER]

  --explanations        explanations per second against Captum: the same model, texts, steps and number of threads
  --shape SHAPE         bert (the default: 6 layers, 66 million weights) or distilbert, with random weights, made from a
                        seed. DistilBERT's head has a ReLU, over whose jumps adaptive steps are slow.
  --model MODEL_FOLDER  in place of that a model folder that classifies texts, in fp32
  --texts FILE          the texts, one a line (default: 24 made-up ones of mixed lengths, 42 tokens in the mean)
  --threads N           how many threads each side has (default: one for each core)
  --json FILE           writes the ratios to a file: [{"name", "value", "unit", "bound", "holds"}, ...]

  --turns               the latency of short texts of four tasks (the ready models), with and without a document of 2,000
                        windows among each hundred of them, at six tenths of what the machine can do
  --records N           how many records (default: 20,000, which take about ten minutes)

  --sql                 texts per second through ML_PREDICT, with 256 rows in flight and with Flink's default of 10, to those
                        of the job's operators; of --model, or of the sentiment model

Prints a table, with the bound of each ratio and whether it holds; the exit status is 0 either way. Takes about a
quarter of an hour on two cores, which should have nothing else to do: measurements under which others took of the
cores are repeated. The first time, what Captum needs is installed into the exporter's virtual environment.
USAGE
}

mode=""
records=20000
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --explanations) mode=explanations ;;
    --turns) mode=turns ;;
    --sql) mode=sql ;;
    --records)
      [ $# -ge 2 ] || misuse "$1 needs a value"
      case "$2" in '' | 0* | *[!0-9]*) misuse "--records is $2, but must be a whole number above 0" ;; esac
      records="$2"
      shift
      ;;
    --model | --shape | --texts | --threads | --json)
      [ $# -ge 2 ] || misuse "$1 needs a value"
      options+=("$1" "$2")
      shift
      ;;
    *) misuse "There is no option $1" ;;
  esac
  shift
done
[ -n "$mode" ] || misuse "Say what to measure: --explanations, --turns or --sql"

find_java
if [ "$mode" = turns ]; then
  command -v mvn >/dev/null || fail "No mvn was found: install Maven 3.8 or later."
  cd "$ROOT"
  mvn -q -B -ntp test -pl operators -Dtest=TurnsBenchmark "-Drecords=$records" -Dsurefire.useFile=false |
    grep -E 'records of four tasks|p99 with|dead letter|ERROR' || fail "The benchmark did not end: see above."
  exit
fi
if [ "$mode" = sql ]; then
  command -v mvn >/dev/null || fail "No mvn was found: install Maven 3.8 or later."
  model="$ROOT/model-assets/sentiment"
  [ "${options[0]:-}" != --model ] || model="$(cd "${options[1]}" && pwd)"
  cd "$ROOT"
  mvn -q -B -ntp test -pl job -am -Dtest=SqlBenchmark "-Dmodel=$model" -Dsurefire.useFile=false \
    -Dsurefire.failIfNoSpecifiedTests=false | grep -E 'texts/s|ERROR' || fail "The benchmark did not end: see above."
  exit
fi
command -v python3 >/dev/null || fail "No python3 was found: install Python 3.10 to 3.13."
ensure_built scripts/flink-local job
exec python3 "$ROOT/scripts/exporter/bootstrap.py" --dev -- \
  python -m "bench_$mode" ${options[@]+"${options[@]}"}
