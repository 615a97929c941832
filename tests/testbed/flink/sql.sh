#!/usr/bin/env bash
# sql.sh FILE: runs a file of SQL statements on the cluster, with Flink's own SQL client.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$here/env.sh"

file=$(realpath "${1:?usage: sql.sh FILE}")
cd "$home"
exec java "${flink_options[@]}" -cp "lib/*:opt/*" org.apache.flink.table.client.SqlClient -f "$file"
