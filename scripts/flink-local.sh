#!/usr/bin/env bash
# A local stand-alone Flink cluster: JobManager and TaskManagers as processes of their own.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/flink-local.sh COMMAND [OPTION...]

A stand-alone Flink cluster on this machine, made of Maven artefacts: a JobManager and TaskManagers, each a process
of its own, with the Labelstream bundle (engine, DJL, libtorch, tokenizers) in its lib/.

  start                 starts it, and waits until the TaskManagers have registered
      --slots N           slots of each TaskManager (default 4)
      --taskmanagers N    how many TaskManagers (default 1)
      --port N            port of the web UI and REST (default $LABELSTREAM_FLINK_PORT, otherwise 8081)
      --option KEY=VALUE  a Flink option for conf/config.yaml; may be repeated
      --ha                high availability, with a ZooKeeper beside it: a JobManager that is killed and started again
                          goes on with its jobs
  taskmanager start|stop|kill|freeze|thaw N
                        one TaskManager, by its number: start adds it, or brings it back; kill ends it as a fault would
  jobmanager start|stop|kill
                        the same for the JobManager
  stop                  ends all of its processes; jobs end with it
  status                says whether and where it runs (exit status 1 when it does not)
  submit [--resume] JOB_FILE [-- FLINK_RUN_OPTION...]
                        submits the Labelstream job, and prints its id; --resume goes on from the newest checkpoint or
                        savepoint of the job's name; after -- stand options of "flink run", as -s SAVEPOINT
  sql [-f FILE] [-i INIT]
                        Flink's own SQL client, with the model provider "labelstream" and the Kafka connector: interactive,
                        or the statements of a file; INIT is run before them. Paths of models are relative to this folder
  list                  lists jobs, also those that have ended
  cancel JOB_ID         cancels a job
  savepoint JOB_ID      takes a savepoint, and prints its path; the job goes on

The cluster's home is .labelstream/flink of the repository, or $LABELSTREAM_STATE/flink: conf/, lib/, log/,
checkpoints/, savepoints/. It listens on 127.0.0.1 only. Two clusters beside each other need a
LABELSTREAM_STATE and a --port each.
USAGE
}

CLUSTER="$STATE/flink"
RUN="$CLUSTER/run"
PORT_FILE="$RUN/port"
JOBMANAGER_PID="$RUN/jobmanager.pid"
ZOOKEEPER_PID="$RUN/zookeeper.pid"
TEMPLATES="$ROOT/scripts/flink-local"

# MiB. The JVM's limits follow from these, as they do in Flink's own start scripts.
HEAP=1024        # of a TaskManager: 128 for the framework, the rest for jobs
METASPACE=512    # each submission loads the job's classes anew, and the last ones go only with a collection
NETWORK=64
# libtorch's memory is native: neither heap nor direct, seen by no JVM limit. Flink's default for this is 0, and
# a container sized from that would be killed; here it is what models, activations and oneDNN's caches may take.
TASK_OFF_HEAP=1024
FRAMEWORK_OFF_HEAP=128

is_running() { running_pid "$JOBMANAGER_PID" >/dev/null; }

need_running() {
  is_running || fail "The Flink cluster is not running: start it with scripts/flink-local.sh start."
  PORT="$(cat "$PORT_FILE")"
}

url() { printf 'http://127.0.0.1:%s' "$(cat "$PORT_FILE")"; }

make_conf() {
  local rpc_port="$1" slots="$2"
  mkdir -p "$CLUSTER/conf" "$CLUSTER/log" "$CLUSTER/checkpoints" "$CLUSTER/savepoints" "$CLUSTER/tmp"
  cp "$TEMPLATES/log4j.properties" "$CLUSTER/conf/log4j.properties"
  cat >"$CLUSTER/conf/config.yaml" <<YAML
# Written anew at each start: give options with scripts/flink-local.sh start --option KEY=VALUE.
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: $rpc_port
jobmanager.bind-host: 127.0.0.1
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: $PORT
rest.bind-port: "$PORT"

jobmanager.memory.heap.size: 512m
jobmanager.memory.off-heap.size: 128m

taskmanager.numberOfTaskSlots: $slots
# What Flink's start scripts would work out: a TaskManager started without them wants each given.
taskmanager.cpu.cores: $slots
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.task.heap.size: $((HEAP - 128))m
taskmanager.memory.framework.off-heap.size: ${FRAMEWORK_OFF_HEAP}m
# libtorch's memory is native, and Flink's default for it is 0.
taskmanager.memory.task.off-heap.size: ${TASK_OFF_HEAP}m
taskmanager.memory.network.min: ${NETWORK}m
taskmanager.memory.network.max: ${NETWORK}m
taskmanager.memory.managed.size: 16m
taskmanager.memory.jvm-metaspace.size: ${METASPACE}m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m

state.backend.type: hashmap
execution.checkpointing.dir: "file://$CLUSTER/checkpoints"
execution.checkpointing.savepoint-dir: "file://$CLUSTER/savepoints"
io.tmp.dirs: "$CLUSTER/tmp"
YAML
}

# set_option KEY VALUE: in place of what config.yaml has, because a key that stands there twice is an error.
set_option() {
  local file="$CLUSTER/conf/config.yaml"
  awk -v key="$1:" 'index($0, key " ") != 1' "$file" >"$file.new"
  printf "%s: '%s'\n" "$1" "$(printf '%s' "$2" | sed "s/'/''/g")" >>"$file.new"
  mv "$file.new" "$file"
}

# java_options NAME: sets OPTIONS, what each JVM of the cluster is started with.
java_options() {
  OPTIONS=(
    "${FLINK_ADD_OPENS[@]}"
    "-Dlog.file=$CLUSTER/log/$1.log"
    "-Dlog4j.configurationFile=file:$CLUSTER/conf/log4j.properties"
    "-Djava.io.tmpdir=$CLUSTER/tmp"
    -Dai.djl.offline=true
    -cp "$CLUSTER/lib/*"
  )
}

start() {
  local slots=4 taskmanagers=1 name number rpc_port option ha=
  local extra=()
  PORT="${LABELSTREAM_FLINK_PORT:-8081}"
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) usage && return ;;
      --slots | --taskmanagers | --port | --option)
        [ $# -ge 2 ] || misuse "$1 needs a value"
        case "$1" in
          --slots) slots="$2" ;;
          --taskmanagers) taskmanagers="$2" ;;
          --port) PORT="$2" ;;
          --option)
            case "$2" in
              ?*=*) extra+=("$2") ;;
              *) misuse "--option is KEY=VALUE, but was $2" ;;
            esac
            ;;
        esac
        shift 2
        ;;
      --ha)
        ha=yes
        shift
        ;;
      *) misuse "start has no option $1" ;;
    esac
  done
  is_port "$PORT" || misuse "The port $PORT is not a number from 1 to 65535"
  for number in "$slots" "$taskmanagers"; do
    case "$number" in '' | 0* | *[!0-9]*) misuse "The number $number is not a whole number above 0" ;; esac
  done
  if is_running; then
    printf 'Flink runs already: %s\n' "$(url)"
    return
  fi
  stop_all # TaskManagers whose JobManager has gone
  if port_answers "$PORT"; then
    fail "The port $PORT on 127.0.0.1 is taken by another program: stop that program, or choose another port with --port."
  fi
  ensure_built scripts/flink-local job
  unpack_bundle "$CLUSTER/lib" "$TEMPLATES/target/lib"
  mkdir -p "$RUN"
  # Apart for each REST port, so that two clusters that start at once do not look for the same.
  rpc_port="$(free_port $((20000 + PORT % 1000 * 10)))"
  make_conf "$rpc_port" "$slots"
  if [ -n "$ha" ]; then start_zookeeper; fi
  for option in ${extra[@]+"${extra[@]}"}; do
    set_option "${option%%=*}" "${option#*=}"
  done
  printf '%s\n' "$PORT" >"$PORT_FILE"

  say "Starting Flink ..."
  start_jobmanager
  number=1
  while [ "$number" -le "$taskmanagers" ]; do
    start_taskmanager "$number"
    number=$((number + 1))
  done

  if ! wait_until 120 settled "$taskmanagers"; then
    stop_all
    fail "The TaskManagers have not registered within 120 s: see the logs in $CLUSTER/log."
  fi
  if name="$(ended)"; then
    stop_all
    cat "$CLUSTER/log/$name.out" "$CLUSTER/log/$name.log" >"$CLUSTER/log/start.err" 2>/dev/null || true
    fail "Flink's $name ended while it was starting: $(innermost_cause "$CLUSTER/log/start.err") (see $CLUSTER/log/$name.log)"
  fi
  printf 'Flink runs: %s (slots: %s)\n' "$(url)" "$((slots * taskmanagers))"
}

java_environment() {
  export FLINK_CONF_DIR="$CLUSTER/conf"
  export DJL_CACHE_DIR="$CLUSTER/djl" # natives are unpacked here, not into the user's home
  # One thread for each of Labelstream's workers; glibc's arenas, one per thread, would look like a leak.
  export OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=2
  # oneDNN keeps what it has compiled for each shape of a batch: 1,024 of them by default, which takes an hour to fill.
  export ONEDNN_PRIMITIVE_CACHE_CAPACITY="${ONEDNN_PRIMITIVE_CACHE_CAPACITY:-256}"
}

start_jobmanager() {
  java_environment
  java_options jobmanager
  start_java "$JOBMANAGER_PID" "$CLUSTER/log/jobmanager.out" -Xmx512m -XX:MaxMetaspaceSize=256m "${OPTIONS[@]}" \
    org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --configDir "$CLUSTER/conf"
}

# start_taskmanager NUMBER
start_taskmanager() {
  local name="taskmanager-$1"
  java_environment
  java_options "$name"
  # glibc keeps what tensors of many sizes leave free between them, unless it is told to give it back (Java 17.0.9 and later).
  start_java "$RUN/$name.pid" "$CLUSTER/log/$name.out" "-Xms${HEAP}m" "-Xmx${HEAP}m" "-XX:MaxMetaspaceSize=${METASPACE}m" \
    -XX:+IgnoreUnrecognizedVMOptions -XX:TrimNativeHeapInterval=10000 \
    "-XX:MaxDirectMemorySize=$((FRAMEWORK_OFF_HEAP + TASK_OFF_HEAP + NETWORK))m" "${OPTIONS[@]}" \
    org.apache.flink.runtime.taskexecutor.TaskManagerRunner --configDir "$CLUSTER/conf"
}

# start_zookeeper: the one that is in Flink's own jars, and what Flink has to know of it. What an earlier cluster left in
# it is gone: its jobs would come back. A port that is free may be a client's by the time ZooKeeper wants it: then another.
start_zookeeper() {
  local port attempt
  port="$(free_port $((20005 + PORT % 1000 * 10)))" # below those that Linux gives to clients
  for attempt in 1 2 3; do
    rm -rf "${CLUSTER:?}/zookeeper" "${CLUSTER:?}/ha"
    mkdir -p "$CLUSTER/zookeeper" "$CLUSTER/ha"
    cat >"$CLUSTER/conf/zoo.cfg" <<CONFIG
tickTime=2000
initLimit=10
syncLimit=5
dataDir=$CLUSTER/zookeeper
clientPort=$port
clientPortAddress=127.0.0.1
admin.enableServer=false
server.1=127.0.0.1:2888:3888
CONFIG
    java_environment
    java_options zookeeper
    start_java "$ZOOKEEPER_PID" "$CLUSTER/log/zookeeper.out" -Xmx128m "-Dzookeeper.admin.enableServer=false" \
      "${OPTIONS[@]}" org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer \
      --zkConfigFile "$CLUSTER/conf/zoo.cfg" --peerId 1
    wait_until 60 zookeeper_settled "$port" || fail "ZooKeeper does not answer within 60 s: see $CLUSTER/log/zookeeper.log."
    if ! is_gone "$ZOOKEEPER_PID"; then break; fi
    [ "$attempt" -lt 3 ] || fail "ZooKeeper ended while it was starting: see $CLUSTER/log/zookeeper.log."
    port="$(free_port $((port + 1)))"
  done
  set_option high-availability.type zookeeper
  set_option high-availability.zookeeper.quorum "127.0.0.1:$port"
  set_option high-availability.storageDir "file://$CLUSTER/ha"
  # A killed JobManager holds its leadership so long; over a network a second more does no harm, here it only waits.
  set_option high-availability.zookeeper.client.session-timeout "6 s"
}

zookeeper_settled() { is_gone "$ZOOKEEPER_PID" || port_answers "$1"; }

# one_process COMMAND PID_FILE NAME START...: what a user does to one process of the cluster; START begins it.
one_process() {
  local command="$1" file="$2" name="$3" pid
  shift 3
  if [ "$command" = start ]; then
    if running_pid "$file" >/dev/null; then fail "Flink's $name runs already."; fi
    find_java
    "$@"
    printf "Flink's %s has been started\n" "$name"
    return
  fi
  pid="$(running_pid "$file")" || fail "Flink's $name is not running."
  case "$command" in
    stop) stop_java "$file" "Flink's $name" ;;
    kill)
      kill -KILL "$pid"
      wait_until 10 is_gone "$file" || fail "Flink's $name (process $pid) was killed and is still there."
      rm -f "$file"
      ;;
    freeze) kill -STOP "$pid" ;;
    thaw) kill -CONT "$pid" ;;
  esac
}

# registered: prints how many TaskManagers the JobManager knows.
registered() { http_get "$PORT" /overview | sed -n 's/.*"taskmanagers":\([0-9]*\).*/\1/p'; }

settled() { ended >/dev/null || [ "$(registered)" = "$1" ]; }

# ended: prints the first process that was started and runs no more.
ended() {
  local file
  for file in "$RUN"/*.pid; do
    if is_gone "$file"; then
      basename "$file" .pid
      return
    fi
  done
  return 1
}

# Ends every process that was started, TaskManagers first, so that none of them looks for its JobManager.
stop_all() {
  local file
  for file in "$RUN"/taskmanager-*.pid "$JOBMANAGER_PID" "$ZOOKEEPER_PID"; do
    # One that is frozen would not hear that it is to end.
    if running_pid "$file" >/dev/null; then kill -CONT "$(running_pid "$file")" 2>/dev/null || true; fi
    [ ! -e "$file" ] || stop_java "$file" "Flink's $(basename "$file" .pid)"
  done
}

# innermost_cause FILE: the message of the last exception in it, without the class names before it, which say nothing
# to who reads it here.
innermost_cause() {
  local cause
  cause="$(grep 'Caused by: ' "$1" | tail -n 1)" || cause="$(grep -m 1 'Exception' "$1")" || true
  printf '%s\n' "$cause" | sed -E -e 's/^ *Caused by: //' -e ':a' -e 's/^([a-zA-Z0-9_$]+\.)+[a-zA-Z0-9_$]+: //' -e 'ta'
}

# client ARGUMENT...: Flink's own command line. Of a failure it prints a sentence, which a job's main gives by
# throwing ProgramParametrizationException; of any other exception, the innermost cause in place of the stack trace.
client() {
  local errors="$CLUSTER/log/client.err" status=0 cause
  export FLINK_CONF_DIR="$CLUSTER/conf" DJL_CACHE_DIR="$CLUSTER/djl" OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=2
  java_options client
  "$JAVA" -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${OPTIONS[@]}" \
    org.apache.flink.client.cli.CliFrontend "$@" 2>"$errors" || status=$?
  if grep -q 'The program finished with the following exception' "$errors"; then
    cause="$(innermost_cause "$errors")"
    say "Flink says: $cause (all of it is in $errors)"
  else
    cat "$errors" >&2
  fi
  return "$status"
}

submit() {
  local job_file="" output status=0
  local ours=()
  if [ "${1:-}" = --resume ]; then
    ours=(--resume)
    shift
  fi
  if [ $# -gt 0 ] && [ "$1" != -- ]; then
    job_file="$1"
    shift
  fi
  case "$job_file" in
    -h | --help) usage && return ;;
    '' | -*) misuse "submit needs a job file" ;;
  esac
  if [ $# -gt 0 ]; then
    [ "$1" = -- ] || misuse "submit takes one job file; options of flink run stand after --, but there is $1"
    shift
  fi
  need_running
  ensure_built job
  output="$(client run -d -m "127.0.0.1:$PORT" "$@" "$ROOT/job/target/labelstream-job.jar" --config "$job_file" ${ours[@]+"${ours[@]}"})" || status=$?
  if [ "$status" -eq 0 ]; then
    printf '%s\n' "$output" | sed -n 's/.*Job has been submitted with JobID \([0-9a-f]*\).*/\1/p'
  elif [ -n "$output" ]; then
    say "$output"
  fi
  return "$status"
}

sql() {
  local jars="$TEMPLATES/target/sql" printed="$CLUSTER/log/sql.out" file="" status=0
  local words=()
  while [ $# -gt 0 ]; do
    case "$1" in
      -f | -i)
        [ $# -ge 2 ] || misuse "$1 needs a file"
        [ -r "$2" ] || fail "$2 does not exist, or cannot be read."
        [ "$1" = -i ] || file="$2"
        words+=("$1" "$2")
        shift 2
        ;;
      *) misuse "sql takes -f FILE and -i INIT, but was given $1" ;;
    esac
  done
  need_running
  ensure_built scripts/flink-local job
  java_environment
  # The client has a REST endpoint of its own inside, which would take the cluster's port for its own.
  export FLINK_CONF_DIR="$CLUSTER/conf/sql"
  mkdir -p "$FLINK_CONF_DIR"
  sed '/^rest\.bind-port:/d' "$CLUSTER/conf/config.yaml" >"$FLINK_CONF_DIR/config.yaml"
  java_options sql
  # The last of Java's options is the class path.
  OPTIONS[${#OPTIONS[@]} - 1]="$CLUSTER/lib/*:$jars/flink-sql-client.jar:$jars/flink-sql-gateway.jar:$jars/flink-python.jar"
  set -- "$JAVA" -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${OPTIONS[@]}" org.apache.flink.table.client.SqlClient \
    ${words[@]+"${words[@]}"} -hist "$CLUSTER/sql-history" \
    -j "$ROOT/job/target/labelstream-job.jar" -j "$jars/flink-sql-connector-kafka.jar"
  [ -n "$file" ] || exec "$@"
  "$@" </dev/null 2>"$CLUSTER/log/sql.err" | tee "$printed" || status=$?
  # A file whose statement failed ends with status 0.
  if [ "$status" -ne 0 ] || grep -qF '[ERROR]' "$printed"; then
    if [ "$status" -ne 0 ]; then cat "$CLUSTER/log/sql.err" >&2; fi
    return 1
  fi
}

# job_id COMMAND WORD...: ends the script unless the only word is a job id.
job_id() {
  [ $# -eq 2 ] || misuse "$1 needs one job id (scripts/flink-local.sh list shows them)"
  case "$2" in
    *[!0-9a-f]* | '') misuse "$2 is not a job id, which has 32 hexadecimal digits" ;;
  esac
  [ "${#2}" -eq 32 ] || misuse "$2 is not a job id, which has 32 hexadecimal digits"
}

[ $# -gt 0 ] || misuse "Say what to do"
command="$1"
shift
if [ "$command" != submit ] && [ $# -gt 0 ]; then
  case "$1" in -h | --help) usage && exit 0 ;; esac
fi
case "$command" in
  -h | --help | help) usage ;;
  start)
    find_java
    start "$@"
    ;;
  stop)
    [ $# -eq 0 ] || misuse "stop takes no options, but was given $1"
    if ls "$RUN"/*.pid >/dev/null 2>&1; then
      stop_all
      echo "Flink has stopped"
    else
      echo "Flink is not running"
    fi
    ;;
  status)
    [ $# -eq 0 ] || misuse "status takes no options, but was given $1"
    if is_running; then
      PORT="$(cat "$PORT_FILE")"
      printf 'Flink runs: %s (TaskManagers: %s)\n' "$(url)" "$(registered || echo 0)"
    else
      echo "Flink is not running"
      exit 1
    fi
    ;;
  taskmanager)
    case "${1:-}" in start | stop | kill | freeze | thaw) ;; *) misuse "taskmanager takes start, stop, kill, freeze or thaw, and a number" ;; esac
    [ $# -eq 2 ] || misuse "taskmanager $1 needs a number"
    case "$2" in '' | 0* | *[!0-9]*) misuse "The number $2 is not a whole number above 0" ;; esac
    [ -f "$CLUSTER/conf/config.yaml" ] && [ -f "$PORT_FILE" ] || fail "There is no Flink cluster: start it with scripts/flink-local.sh start."
    one_process "$1" "$RUN/taskmanager-$2.pid" "taskmanager-$2" start_taskmanager "$2"
    ;;
  jobmanager)
    case "${1:-}" in start | stop | kill) ;; *) misuse "jobmanager takes start, stop or kill" ;; esac
    [ $# -eq 1 ] || misuse "jobmanager $1 takes nothing more"
    [ -f "$CLUSTER/conf/config.yaml" ] && [ -f "$PORT_FILE" ] || fail "There is no Flink cluster: start it with scripts/flink-local.sh start."
    one_process "$1" "$JOBMANAGER_PID" jobmanager start_jobmanager
    ;;
  submit)
    find_java
    submit "$@"
    ;;
  sql)
    find_java
    sql "$@"
    ;;
  list)
    [ $# -eq 0 ] || misuse "list takes no options, but was given $1"
    need_running
    find_java
    client list -a -m "127.0.0.1:$PORT" | sed '/^Waiting for response/d'
    ;;
  cancel)
    job_id cancel "$@"
    need_running
    find_java
    client cancel -m "127.0.0.1:$PORT" "$1" >/dev/null
    printf 'Cancelled %s\n' "$1"
    ;;
  savepoint)
    job_id savepoint "$@"
    need_running
    find_java
    client savepoint -m "127.0.0.1:$PORT" "$1" | sed -n 's/^Savepoint completed\. Path: //p'
    ;;
  *) misuse "There is no command $command" ;;
esac
