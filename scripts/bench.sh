#!/usr/bin/env bash
# Measures Labelstream against what its users would run otherwise, in one run.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/bench.sh --offline [OPTION...]
       scripts/bench.sh --server | --generation | --identity | --scale [OPTION...]
       scripts/bench.sh --explanations [OPTION...]
       scripts/bench.sh --turns [--records N]
       scripts/bench.sh --sql [--model MODEL_FOLDER]
       scripts/bench.sh --micro [--json FILE]

  --offline             records and tokens per second, Kafka to Kafka, of a DistilBERT with random weights, made from a
                        seed; beside it the module alone, the Hugging Face pipeline, a handler as TorchServe's, and what
                        one would write by hand with PyTorch, ONNX Runtime, OpenVINO and CTranslate2
  --precisions LIST     which (default: fp32,int8; bf16 is there too, and slow on a processor without its instructions)
  --texts FILE          the texts, one a line (default: 300 made-up ones of mixed lengths, 42 tokens in the mean)
  --records N           how many records Labelstream's clock sees, 1,000 to warm up come before (default: 2,000)
  --rounds N            how often each side is measured, the sides in turn (default: 2; after the first only the best
                        layout of each goes on)
  --json FILE           writes the figures to a file: [{"name", "value", "unit", "bound", "holds"}, ...]
  --chart FILE          draws them, as SVG

  --server              the latency of records that arrive at random (Poisson, open loop), from when each was due to its
                        receipt, at 25, 50, 75 and 90 % of what the same job does offline
  --precisions LIST, --seconds N, --json FILE, --chart FILE
                        which (default: fp32), and how long each load lasts (default: 30)

  --generation          generated tokens per second of a GPT-2 of 6 layers, 32 prompts of 10 to 100 new tokens, and of one
                        alone, against generate() in batches of 1 and 8 and CTranslate2
  --precisions LIST, --rounds N, --json FILE
                        as above

  --identity            records per second of everything but the model: records of 200 bytes, a module that returns a
                        constant
  --records N, --rounds N, --json FILE
                        as above (default: 1,000,000 records after 300,000 to warm up, 2 rounds)

  --scale               what a record costs with parallelism 1 and 2, one TaskManager and two, 1 to 64 partitions
  --records N, --json FILE
                        as above

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

  --micro               nanoseconds of what is our own around the model: the queue of rows, reading and writing records,
                        drawing a token, writing a record into a checkpoint and reading it (JMH)
  --json FILE           writes JMH's own results to a file

Prints a table, with the bound of each ratio and whether it holds; the exit status is 0 either way. Takes about a
quarter of an hour on two cores, which should have nothing else to do: measurements under which others took of the
cores are repeated. The first time, what Captum needs is installed into the exporter's virtual environment, and what
the others need into one of their own, .labelstream/bench/venv (or the one that $LABELSTREAM_BENCH_VENV names).
Broker and cluster are its own, on free ports; their state is in .labelstream/bench.
USAGE
}

mode=""
records=""
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --explanations) mode=explanations ;;
    --offline | --server | --generation | --identity | --scale) mode="${1#--}" ;;
    --turns) mode=turns ;;
    --sql) mode=sql ;;
    --micro) mode=micro ;;
    --records)
      [ $# -ge 2 ] || misuse "$1 needs a value"
      case "$2" in '' | 0* | *[!0-9]*) misuse "--records is $2, but must be a whole number above 0" ;; esac
      records="$2"
      shift
      ;;
    --model | --shape | --texts | --threads | --json | --chart | --precisions | --rounds | --seconds)
      [ $# -ge 2 ] || misuse "$1 needs a value"
      options+=("$1" "$2")
      shift
      ;;
    *) misuse "There is no option $1" ;;
  esac
  shift
done
[ -n "$mode" ] || misuse "Say what to measure: --offline, --server, --generation, --identity, --scale, --explanations, --turns, --sql or --micro"

find_java
if [ "$mode" = turns ]; then
  command -v mvn >/dev/null || fail "No mvn was found: install Maven 3.8 or later."
  cd "$ROOT"
  mvn -q -B -ntp test -pl operators -Dtest=TurnsBenchmark "-Drecords=${records:-20000}" -Dsurefire.useFile=false |
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
if [ "$mode" = micro ]; then
  command -v mvn >/dev/null || fail "No mvn was found: install Maven 3.8 or later."
  results=()
  [ "${options[0]:-}" != --json ] || results=(-rf json -rff "$(realpath -m "${options[1]}")")
  cd "$ROOT"
  mvn -q -B -ntp test-compile dependency:build-classpath -pl operators -Dmdep.includeScope=test \
    -Dmdep.outputFile=target/jmh.classpath || fail "The build has failed: see above."
  cd operators
  classes="target/test-classes:target/classes:$(cat target/jmh.classpath)"
  mkdir -p target/jmh/sources target/jmh/classes
  "$JAVA" -cp "$classes" org.openjdk.jmh.generators.bytecode.JmhBytecodeGenerator target/test-classes target/jmh/sources \
    target/jmh/classes >target/jmh/generator.log 2>&1 || fail "JMH's code could not be written: see operators/target/jmh/generator.log."
  find target/jmh/sources -name '*.java' >target/jmh/sources.txt
  "${JAVA}c" -nowarn -cp "$classes" -d target/jmh/classes @target/jmh/sources.txt || fail "JMH's code does not compile: see above."
  "$JAVA" -cp "target/jmh/classes:$classes" org.openjdk.jmh.Main -bm avgt -tu ns -f 1 -wi 3 -w 1 -i 5 -r 1 \
    ${results[@]+"${results[@]}"} >target/jmh/run.log 2>&1 || fail "The benchmarks did not end: see operators/target/jmh/run.log."
  sed -n '/^Benchmark /,$p' target/jmh/run.log
  exit
fi
command -v python3 >/dev/null || fail "No python3 was found: install Python 3.10 to 3.13."
if [ "$mode" = explanations ]; then
  ensure_built scripts/flink-local job
  requirements=--dev
else
  ensure_built kafka-local scripts/flink-local job
  requirements=--bench
  export LABELSTREAM_VENV="${LABELSTREAM_BENCH_VENV:-$STATE/bench/venv}"
fi
[ -z "$records" ] || options+=(--records "$records")
exec python3 "$ROOT/scripts/exporter/bootstrap.py" "$requirements" -- \
  python -m "bench_$mode" ${options[@]+"${options[@]}"}
