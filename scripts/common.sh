# shellcheck shell=bash
# What the commands in this folder share; to be sourced. Works with bash 3.2, which macOS has.
#
# Every message goes to standard error, so that standard output is what a command is asked for.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# Read by the scripts that source this file.
# shellcheck disable=SC2034
STATE="${LABELSTREAM_STATE:-$ROOT/.labelstream}"

# What Flink needs opened on Java 17; the root pom has the same list for tests.
# shellcheck disable=SC2034
FLINK_ADD_OPENS=(
  --add-opens=java.base/java.lang=ALL-UNNAMED
  --add-opens=java.base/java.util=ALL-UNNAMED
  --add-opens=java.base/java.net=ALL-UNNAMED
  --add-opens=java.base/java.io=ALL-UNNAMED
  --add-opens=java.base/java.nio=ALL-UNNAMED
  --add-opens=java.base/java.lang.reflect=ALL-UNNAMED
  --add-opens=java.base/java.text=ALL-UNNAMED
  --add-opens=java.base/java.time=ALL-UNNAMED
  --add-opens=java.base/java.util.concurrent=ALL-UNNAMED
  --add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED
)

say() { printf '%s\n' "$*" >&2; }

# Ends with one sentence; status 1: it could not be done.
fail() {
  say "$*"
  exit 1
}

# Ends with one sentence; status 2: wrong use.
misuse() {
  say "$* (see $0 --help)"
  exit 2
}

# Sets JAVA to a java that is at least 17.
find_java() {
  if [ -n "${JAVA_HOME:-}" ]; then
    JAVA="$JAVA_HOME/bin/java"
    [ -x "$JAVA" ] || fail "JAVA_HOME is $JAVA_HOME, but there is no bin/java in it: set it to a JDK 17 or later, or unset it."
  else
    JAVA="$(command -v java || true)"
    [ -n "$JAVA" ] || fail "No java was found: install a JDK 17 or later, or set JAVA_HOME to one."
  fi
  local version
  # macOS has a java that does nothing but ask for one to be installed.
  version="$("$JAVA" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | sed -n 1p)"
  [ -n "$version" ] || fail "$JAVA does not run: install a JDK 17 or later, or set JAVA_HOME to one."
  [ "$version" -ge 17 ] || fail "$JAVA is older than Java 17: install a JDK 17 or later, or set JAVA_HOME to one."
}

# module_facts MODULE: sets ARTEFACTS (what the module's build makes) and SOURCES (what it is made of).
module_facts() {
  case "$1" in
    kafka-local)
      ARTEFACTS=("$ROOT"/kafka-local/target/kafka-local/lib/labelstream-kafka-local-*.jar)
      SOURCES=("$ROOT/kafka-local/pom.xml" "$ROOT/kafka-local/src/main")
      ;;
    scripts/flink-local)
      ARTEFACTS=("$ROOT/scripts/flink-local/target/lib" "$ROOT/scripts/flink-local/target/sql")
      SOURCES=("$ROOT/scripts/flink-local/pom.xml")
      ;;
    job)
      ARTEFACTS=("$ROOT/job/target/labelstream-job.jar" "$ROOT/job/target/labelstream-lib.tar.gz")
      SOURCES=("$ROOT/job/pom.xml" "$ROOT/job/src/main" "$ROOT/operators/pom.xml" "$ROOT/operators/src/main")
      ;;
    *) fail "No module is called $1. This is a bug." ;;
  esac
  SOURCES+=("$ROOT/pom.xml")
}

is_built() {
  local stamp="$ROOT/$1/target/built" artefact
  module_facts "$1"
  for artefact in "${ARTEFACTS[@]}"; do
    [ -e "$artefact" ] || return 1
    # A build that was not started here leaves no stamp; what it made is then its own.
    [ -e "$stamp" ] && [ "$stamp" -nt "$artefact" ] && artefact="$stamp"
    [ -z "$(find "${SOURCES[@]}" -newer "$artefact" -type f | sed -n 1p)" ] || return 1
  done
}

# alone LOCK COMMAND...: runs the command, in a shell of its own, while no other command of ours holds the lock. The lock is a
# link, because that is made at once or not at all and tells whose it is; one that a killed command has left is removed.
alone() {
  local lock="$1" owner status=0
  shift
  mkdir -p "$(dirname "$lock")" || fail "The folder of $lock could not be made: see above."
  until ln -s "$$" "$lock" 2>/dev/null; do
    owner="$(readlink "$lock" || true)"
    # Only who makes this folder may remove what that owner left, else a second one could remove a lock that is new.
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null && mkdir "$lock.$owner" 2>/dev/null; then
      if [ "$(readlink "$lock" || true)" = "$owner" ]; then rm -f "$lock"; fi
      rmdir "$lock.$owner"
    else
      [ -w "$(dirname "$lock")" ] || fail "$lock cannot be made: its folder may not be written."
      sleep 0.2
    fi
  done
  ("$@") || status=$?
  rm -f "$lock"
  [ "$status" -eq 0 ] || exit "$status"
}

# ensure_built MODULE...: builds those of the modules whose artefacts are missing or older than their sources.
ensure_built() {
  # Nobody builds where nobody may write, and there is no lock to be had.
  if [ -w "$ROOT" ]; then alone "$ROOT/target/build.lock" build_missing "$@"; else build_missing "$@"; fi
}

build_missing() {
  local module modules="" log="$ROOT/target/build.log"
  for module in "$@"; do
    is_built "$module" || modules="$modules${modules:+,}$module"
  done
  [ -n "$modules" ] || return 0
  command -v mvn >/dev/null || fail "Something must be built, but there is no mvn: install Maven 3.8 or later."
  say "Building $modules (the first time, this downloads what it needs) ..."
  mkdir -p "$ROOT/target"
  # Removed because a new version of a dependency would otherwise lie beside the old one.
  case ",$modules," in *,kafka-local,*) rm -rf "$ROOT/kafka-local/target/kafka-local/lib" ;; esac
  case ",$modules," in *,scripts/flink-local,*) rm -rf "$ROOT/scripts/flink-local/target/lib" "$ROOT/scripts/flink-local/target/sql" ;; esac
  if ! mvn -q -B -ntp -Dmaven.test.skip=true -Dspotless.check.skip=true -Dcyclonedx.skip=true -f "$ROOT/pom.xml" -pl "$modules" -am package >"$log" 2>&1 </dev/null; then
    grep -F '[ERROR]' "$log" | sed -n 1,15p >&2 || true
    fail "The build failed: put right what Maven says in $log."
  fi
  for module in "$@"; do
    touch "$ROOT/$module/target/built"
  done
}

# command_of PID: the command line of a running process, or nothing. Small machines have no ps.
command_of() {
  if [ -r "/proc/$1/cmdline" ]; then
    tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null || true
  elif command -v ps >/dev/null; then
    ps -ww -p "$1" -o command= 2>/dev/null || true
  fi
}

# The mark that a process of ours carries on its command line: the file that holds its pid.
mark_of() { printf '%s' "-Dlabelstream.pid.file=$1"; }

# running_pid FILE: prints the pid in the file if that process runs and is the one that was started for it. A pid
# that another program has been given since is not ours to end.
running_pid() {
  local pid
  [ -f "$1" ] || return 1
  pid="$(cat "$1")"
  [ -n "$pid" ] || return 1
  case "$(command_of "$pid")" in
    *"$(mark_of "$1") "*) printf '%s\n' "$pid" ;;
    *) return 1 ;;
  esac
}

# start_java PID_FILE OUTPUT_FILE ARGUMENT...: a JVM in the background that outlives this shell and its terminal.
start_java() {
  local pid_file="$1" output="$2"
  shift 2
  mkdir -p "$(dirname "$pid_file")" "$(dirname "$output")"
  nohup "$JAVA" "$(mark_of "$pid_file")" "$@" >"$output" 2>&1 </dev/null &
  printf '%s\n' "$!" >"$pid_file"
  # Until it has become a java, the process does not carry its mark.
  wait_until 5 marked_or_dead "$pid_file" "$!" || true
}

marked_or_dead() { running_pid "$1" >/dev/null || ! kill -0 "$2" 2>/dev/null; }

# stop_java PID_FILE NAME: asks the process to end, and waits until it has.
stop_java() {
  local pid
  if ! pid="$(running_pid "$1")"; then
    rm -f "$1"
    return 0
  fi
  kill -TERM "$pid" 2>/dev/null || true
  if ! wait_until 30 is_gone "$1"; then
    fail "$2 (process $pid) was asked to end and has not within 30 s: look at its log, or end it with kill -KILL $pid."
  fi
  rm -f "$1"
}

is_gone() { ! running_pid "$1" >/dev/null; }

# wait_until SECONDS COMMAND...: runs the command until it succeeds; fails when the time is over.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# port_answers PORT: whether something listens on this machine.
port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# is_port WORD
is_port() {
  case "$1" in
    '' | *[!0-9]* | ??????*) return 1 ;;
  esac
  [ "$1" -ge 1 ] && [ "$1" -le 65535 ]
}

# free_port FROM: prints the first port from there on that nothing listens on.
free_port() {
  local port="$1"
  while port_answers "$port"; do
    port=$((port + 1))
  done
  printf '%s\n' "$port"
}

# http_get PORT PATH: prints the answer with its head; needs no curl.
http_get() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&3
    cat <&3
  ) 2>/dev/null
}

# unpack_bundle FOLDER [JARS]: the Labelstream bundle (engine, DJL, libtorch, tokenizers), and the jars of another folder,
# unless they lie there as they were built last. They are unpacked beside it, so that what lies there is always whole.
unpack_bundle() { alone "$1.lock" unpack_if_older "$@"; }

unpack_if_older() {
  local folder="$1" jars="${2:-}" archive="$ROOT/job/target/labelstream-lib.tar.gz"
  local stamp="$folder/.unpacked" new="$folder.new"
  if [ -e "$stamp" ] && [ ! "$archive" -nt "$stamp" ] && { [ -z "$jars" ] || [ ! "$jars" -nt "$stamp" ]; }; then
    return
  fi
  rm -rf "${new:?}"
  mkdir -p "$new"
  if [ -n "$jars" ]; then cp "$jars"/*.jar "$new/" || fail "$jars could not be copied to $new: see above."; fi
  tar -xzf "$archive" -C "$new" || fail "$archive could not be unpacked into $new: see above."
  touch "$new/.unpacked"
  rm -rf "${folder:?}"
  mv "$new" "$folder"
}
