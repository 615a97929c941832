#!/usr/bin/env bash
# Installs Apache Kafka's jars with Maven; does nothing when they are there.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

copy_jars() {
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$home/libs.new"
  rm -rf "$home/libs"
  mv "$home/libs.new" "$home/libs"
}

locked
install_once java copy_jars
