#!/usr/bin/env bash
# Runs cargo with the RocksDB that `rocksdb.sh` builds once for all profiles and checkouts.
set -euo pipefail

ROCKSDB_LIB_DIR=$("$(dirname "$0")/rocksdb.sh")
export ROCKSDB_LIB_DIR ROCKSDB_INCLUDE_DIR=$ROCKSDB_LIB_DIR/include ROCKSDB_STATIC=1
exec cargo "$@"
