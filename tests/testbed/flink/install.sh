#!/usr/bin/env bash
# Installs Apache Flink 2.2.1: its jars as Python's package index has them (312 MB, without scripts
# or configuration, which are here instead), the Kafka connector and the SQL gateway from Maven.
# Does nothing when they are there.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

version=2.2.1

copy_jars() {
  "$testbed_dir/system.sh" python
  local work=$home/download
  rm -rf "$work"
  mkdir -p "$work" "$home"/{lib,opt,bin,conf,plugins,log,tmp}
  rm -f "$home"/{lib,opt,bin}/*.jar
  python3 -m pip download -q --no-deps --no-binary :all: -d "$work" "apache-flink-libraries==$version"
  tar -xzf "$work/apache_flink_libraries-$version.tar.gz" -C "$work"
  mv "$(dirname "$(find "$work" -name 'flink-dist-*.jar' -print -quit)")"/*.jar "$home/lib/"
  find "$work" -name bash-java-utils.jar -exec mv {} "$home/bin/" \;
  find "$work" \( -name 'flink-sql-client-*.jar' -o -name 'flink-python-*.jar' \) -exec mv {} "$home/opt/" \;
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DexcludeTransitive=true -DoutputDirectory="$work/maven"
  mv "$work"/maven/flink-sql-connector-kafka-*.jar "$home/lib/"
  mv "$work"/maven/flink-sql-gateway-*.jar "$home/opt/"
  rm -rf "$work"
}

locked
install_once java copy_jars
