#!/usr/bin/env bash
# Prints the folder of a RocksDB built once for every profile, checkout and target folder, and builds it first
# where it is missing (ten minutes on two cores, most of a cold build). The Makefile points ROCKSDB_LIB_DIR
# and ROCKSDB_INCLUDE_DIR there. Without them cargo builds RocksDB itself, once for each profile.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p}' "$root/Cargo.lock")
features=$(sed -n 's/^rocksdb = .*features = \[\(.*\)\].*/\1/p' "$root/Cargo.toml")
key=$( (echo "$version $features"; c++ --version; rustc --version) | sha256sum | cut -c1-12)
home=${XDG_CACHE_HOME:-$HOME/.cache}/millrace/rocksdb/${version%%+*}-$key

mkdir -p "$home"
exec 9>"$home/.lock"
flock 9
if [ ! -f "$home/.built" ]; then
  echo "building RocksDB ${version##*+} in $home" >&2
  # Release has the C++ at full optimisation; without debug information the library is a tenth of the size.
  (cd "$root" && env -u ROCKSDB_LIB_DIR -u ROCKSDB_INCLUDE_DIR CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo build --quiet --locked --release -p librocksdb-sys --target-dir "$home/build") >&2
  out=$(ls -d "$home"/build/release/build/librocksdb-sys-*/out)
  sources=$(cargo metadata --locked --format-version 1 --filter-platform "$(rustc --print host-tuple)" \
    --manifest-path "$root/Cargo.toml" |
    grep -o '"manifest_path":"[^"]*/librocksdb-sys-[^"]*/Cargo.toml"' | cut -d'"' -f4)
  cp "$out/librocksdb.a" "$home/librocksdb.a"
  cp -r "$(dirname "$sources")/rocksdb/include" "$home/include"
  rm -rf "$home/build"
  touch "$home/.built"
fi
echo "$home"
