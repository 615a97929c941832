# Sourced after lib.sh by Kafka's scripts: how many nodes, their addresses, the class path, and the
# folder of this Kafka, so that those on different ports, or with another number of nodes, share
# nothing but the jars. Node n serves clients on kafka_port + 2 (n - 1), and its controller listens
# on the port after that; behind those of all nodes are the ports with SASL. A node that is alone has two more
# behind that, with TLS; several would need more ports than those who look for free ones look for. Its pid file
# and log are called node-n.

kafka_nodes=${TESTBED_KAFKA_NODES:-1}
kafka_host=${TESTBED_KAFKA_HOST:-127.0.0.1}
if [ "$kafka_nodes" -eq 1 ]; then
  kafka_port=${TESTBED_KAFKA_PORT:-19092}
  state=$home/$kafka_port
  kafka_memory=(-Xms512m "-Xmx${TESTBED_KAFKA_HEAP:-1g}")
else
  kafka_port=${TESTBED_KAFKA_PORT:-19192}
  state=$home/$kafka_port-of-$kafka_nodes
  # Several on one small machine: what a JVM takes beside its heap counts, too.
  kafka_memory=("-Xmx${TESTBED_KAFKA_HEAP:-256m}" -XX:+UseSerialGC -Xss512k -XX:ReservedCodeCacheSize=48m
    -XX:MaxDirectMemorySize=64m -XX:TieredStopAtLevel=1)
fi
kafka_java=(java "-Dlog4j2.configurationFile=$here/log4j2.yaml" -cp "$home/libs/*")

[ "$kafka_host" = 127.0.0.1 ] || state+=-at-$kafka_host

client_port() { echo $((kafka_port + 2 * ($1 - 1))); }
sasl_port() { echo $((kafka_port + 2 * kafka_nodes + $1 - 1)); }

kafka_address= # host:port of every node
kafka_sasl=    # the same, with SASL
kafka_voters=  # node@host:port of every controller
for node in $(seq "$kafka_nodes"); do
  kafka_address+=${kafka_address:+,}$kafka_host:$(client_port "$node")
  kafka_sasl+=${kafka_sasl:+,}$kafka_host:$(sasl_port "$node")
  kafka_voters+=${kafka_voters:+,}$node@127.0.0.1:$(($(client_port "$node") + 1))
done

kafka_certificates=$state/certificates
kafka_tls=      # host:port where clients show a certificate
kafka_sasl_tls= # the same, with SASL in place of a certificate
tls_listeners=  # for Kafka
if [ "$kafka_nodes" -eq 1 ]; then
  kafka_tls=$kafka_host:$((kafka_port + 3))
  kafka_sasl_tls=$kafka_host:$((kafka_port + 4))
  tls_listeners=,SSL://$kafka_tls,SASL_SSL://$kafka_sasl_tls
fi

# all_running: whether no node is missing.
all_running() {
  local node
  for node in $(seq "$kafka_nodes"); do
    running "node-$node" || return 1
  done
}

# node_ready NODE: whether it serves clients. A node of several does so once a majority has started.
node_ready() { grep -q 'Kafka Server started' "$state/node-$1.log"; }

# configure_node NODE: writes its properties, and formats its folder of data if it has none.
configure_node() {
  local port replicas min_isr properties=$state/node-$1.properties templates=("$here/server.properties")
  port=$(client_port "$1")
  # What is committed survives the loss of one node, and can still be written then.
  replicas=$((kafka_nodes < 3 ? kafka_nodes : 3))
  min_isr=$((replicas < 3 ? 1 : 2))
  [ -z "$kafka_tls" ] || templates+=("$here/tls.properties")
  sed -e "s#@NODE@#$1#g" -e "s#@HOST@#$kafka_host#g" -e "s#@PORT@#$port#g" -e "s#@SASL_PORT@#$(sasl_port "$1")#g" -e "s#@CONTROLLER_PORT@#$((port + 1))#g" \
    -e "s#@VOTERS@#$kafka_voters#g" -e "s#@REPLICAS@#$replicas#g" -e "s#@MIN_ISR@#$min_isr#g" \
    -e "s#@TLS_LISTENERS@#$tls_listeners#g" -e "s#@CERTIFICATES@#$kafka_certificates#g" \
    -e "s#@DATA@#$state/data-$1#g" "${templates[@]}" >"$properties"
  if [ ! -f "$state/data-$1/meta.properties" ]; then
    "${kafka_java[@]}" kafka.tools.StorageTool format -t "$(cat "$state/cluster-id")" -c "$properties" \
      >"$state/format-$1.log" 2>&1 || { cat "$state/format-$1.log" >&2; return 1; }
  fi
}

# launch_node NODE: starts a node that is configured, and does not wait for it.
launch_node() {
  local port
  for port in "$(client_port "$1")" "$(sasl_port "$1")" ${kafka_tls:+"${kafka_tls##*:}" "${kafka_sasl_tls##*:}"}; do
    free_port "$port" TESTBED_KAFKA_PORT
  done
  launch "node-$1" "${kafka_java[@]}" "${kafka_memory[@]}" kafka.Kafka "$state/node-$1.properties"
}
