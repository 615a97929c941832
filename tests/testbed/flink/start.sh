#!/usr/bin/env bash
# Starts a Flink session cluster: a JobManager (REST on 127.0.0.1:${TESTBED_FLINK_PORT:-18081}) and
# a TaskManager with two slots and 4 GiB; does nothing when it runs. Ready in about 10 s.
set -euo pipefail
"$(dirname "$0")/install.sh"
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

locked
running jobmanager && running taskmanager && exit 0
free_port "$flink_port" TESTBED_FLINK_PORT

rm -rf "$home"/tmp/*
sed -e "s#HOME_DIR#$home#g" -e "s#REST_PORT#$flink_port#" -e "s#OPENINGS#$(flink_openings | paste -sd' ')#" \
  "$here/config.yaml" >"$home/conf/config.yaml"
cd "$home"
launch jobmanager java -Xms768m -Xmx1g "${flink_options[@]}" -cp "lib/*" \
  org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --configDir conf --executionMode cluster

# Flink works out the TaskManager's JVM and memory options from the configuration: JVM options on
# the first line of its answer, arguments on the second.
parameters=$(java -cp "bin/bash-java-utils.jar:lib/*" org.apache.flink.runtime.util.bash.BashJavaUtils \
  GET_TM_RESOURCE_PARAMS --configDir conf --binDir bin --libDir lib 2>/dev/null |
  sed -n 's/^BASH_JAVA_UTILS_EXEC_RESULT://p')
read -ra jvm <<<"$(sed -n 1p <<<"$parameters")"
read -ra arguments <<<"$(sed -n 2p <<<"$parameters")"
launch taskmanager java -XX:+UseG1GC "${jvm[@]}" "${flink_options[@]}" -cp "lib/*" \
  org.apache.flink.runtime.taskexecutor.TaskManagerRunner --configDir conf "${arguments[@]}"

slots_are_registered() { curl -s -m 2 "http://127.0.0.1:$flink_port/overview" | grep -q '"slots-total":2'; }
await taskmanager 90 slots_are_registered
