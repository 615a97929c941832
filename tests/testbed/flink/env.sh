# Sourced after lib.sh by Flink's scripts: its folders, class path, and the JVM's openings that it
# needs on Java 17. The same openings stand in config.yaml for what Flink starts by itself.

export FLINK_HOME=$home FLINK_CONF_DIR=$home/conf FLINK_LIB_DIR=$home/lib FLINK_OPT_DIR=$home/opt FLINK_PLUGINS_DIR=$home/plugins
flink_port=${TESTBED_FLINK_PORT:-18081}

flink_openings() {
  local package
  for package in java.base/sun.net.util java.rmi/sun.rmi.registry java.security.jgss/sun.security.krb5; do
    echo "--add-exports=$package=ALL-UNNAMED"
  done
  for package in lang net io nio lang.reflect text time util util.concurrent util.concurrent.atomic util.concurrent.locks; do
    echo "--add-opens=java.base/java.$package=ALL-UNNAMED"
  done
  echo "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"
}

mapfile -t flink_options < <(flink_openings)
flink_options+=("-Dlog4j.configurationFile=$here/log4j.properties")
