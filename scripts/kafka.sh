#!/usr/bin/env bash
# One Apache Kafka node (KRaft, broker and controller in one process) from its published jars.
#
#   scripts/kafka.sh fetch              jars into .deps/kafka/libs (once; pinned in scripts/kafka/pom.xml)
#   scripts/kafka.sh start DIR [PORT]   start on a free or the given port with its data in DIR;
#                                       prints the bootstrap address on stdout once the node answers
#   scripts/kafka.sh status DIR         prints the bootstrap address, or exits 3 when it does not run
#   scripts/kafka.sh stop DIR           ends it; data stay, so that a later start goes on with them
#   scripts/kafka.sh acl BOOTSTRAP deny|allow TYPE NAME OPERATION
#                                       takes leave for it from everybody, and gives it back
#
# Properties in DIR/extra.properties win over the node's own: with process.roles, node.id, listeners and
# controller.quorum.voters it joins another node as one more broker.
#
# Needs JDK 17 and Maven. Exit codes: 64 usage, 69 a tool is missing or the node did not come up.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps/kafka
start_limit_s=${KAFKA_START_LIMIT_S:-60}

usage() { sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64; }
fail() { echo "kafka.sh: $*" >&2; exit 69; }

need_java() {
  command -v java >/dev/null || fail "java is missing: install a JDK, version 17 or later (openjdk-17-jdk-headless)"
}

fetch() {
  need_java
  # The copy is complete only when its mark is the pom it was made from.
  cmp -s "$root/scripts/kafka/pom.xml" "$deps/pom.xml" && return
  mkdir -p "$deps"
  exec 9>"$deps/lock"
  flock 9 # two test binaries may want the jars at once
  cmp -s "$root/scripts/kafka/pom.xml" "$deps/pom.xml" && return
  command -v mvn >/dev/null || fail "mvn is missing: install Maven (maven)"
  rm -rf "$deps/libs"
  mvn -q -B -f "$root/scripts/kafka/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$deps/libs" >&2 || fail "maven could not fetch the jars"
  cp "$root/scripts/kafka/pom.xml" "$deps/pom.xml"
  exec 9>&-
}

kafka_java() {
  # One small node that must start fast: no server compiler, no parallel collector.
  exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=info -Dorg.slf4j.simpleLogger.showDateTime=true \
    -cp "$deps/libs/*" "$@"
}

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local port tries
  for tries in {1..50}; do
    port=$((20000 + RANDOM % 12000))
    if is_free "$port" && [[ $port != "${1:-}" ]]; then echo "$port"; return; fi
  done
  fail "no free port after $tries tries"
}

write_properties() { # DIR PORT CONTROLLER_PORT
  cat >"$1/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
# Voters by configuration, not by the formatted quorum: the ports may change between starts.
controller.quorum.voters=1@127.0.0.1:$3
log.dirs=$1/log
num.partitions=4
# One node: every internal topic has one replica, and few partitions so that the first commit is fast.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Tests should not wait for members that never come, nor long for dead ones.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
PROPERTIES
  [[ ! -e $1/extra.properties ]] || cat "$1/extra.properties" >>"$1/server.properties"
}

running_pid() { # DIR
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

start() { # DIR [PORT]
  mkdir -p "$1"
  local dir port controller pid waited
  dir=$(cd "$1" && pwd)
  if running_pid "$dir" >/dev/null; then cat "$dir/bootstrap"; return; fi
  fetch
  port=${2:-$(free_port)}
  is_free "$port" || fail "port $port is in use"
  controller=$(free_port "$port")
  write_properties "$dir" "$port" "$controller"
  if [[ ! -e $dir/log/meta.properties ]]; then
    # Any fixed id does, as long as all nodes of a cluster have the same.
    (kafka_java kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$dir/server.properties") \
      >"$dir/format.log" 2>&1 || fail "formatting failed: see $dir/format.log"
  fi
  : >"$dir/server.log"
  (kafka_java kafka.Kafka "$dir/server.properties") >"$dir/server.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid" >"$dir/pid"
  for ((waited = 0; waited < start_limit_s * 10; waited++)); do
    if grep -q 'Kafka Server started' "$dir/server.log"; then
      echo "127.0.0.1:$port" | tee "$dir/bootstrap"
      return
    fi
    kill -0 "$pid" 2>/dev/null || { tail -n 5 "$dir/server.log" >&2; fail "the node ended: see $dir/server.log"; }
    sleep 0.1
  done
  kill "$pid" 2>/dev/null || true
  fail "the node did not come up within $start_limit_s s: see $dir/server.log"
}

status() { # DIR
  running_pid "$1" >/dev/null || exit 3
  cat "$1/bootstrap"
}

stop() { # DIR
  local pid waited
  pid=$(running_pid "$1") || return 0
  kill "$pid"
  for ((waited = 0; waited < 200; waited++)); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$1/pid" "$1/bootstrap"; return; }
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$1/pid" "$1/bootstrap"
}

acl() { # BOOTSTRAP deny|allow TYPE NAME OPERATION
  need_java
  (kafka_java "$root/scripts/kafka/Acl.java" "$@") >&2
}

case "${1:-} $#" in
  'fetch 1') fetch ;;
  'start 2' | 'start 3') start "${@:2}" ;;
  'status 2') status "$2" ;;
  'acl 6') acl "${@:2}" ;;
  'stop 2') stop "$2" ;;
  *) usage ;;
esac
