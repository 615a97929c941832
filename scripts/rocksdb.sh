#!/usr/bin/env bash
# Prints the folder of a RocksDB built once for every profile, checkout and target folder, and builds it first
# where it is missing (five minutes on two cores). The Makefile points ROCKSDB_LIB_DIR and ROCKSDB_INCLUDE_DIR
# there. Without them cargo builds RocksDB itself, once for each profile, in three times the time.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p}' "$root/Cargo.lock")
features=$(sed -n 's/^rocksdb = .*features = \[\(.*\)\].*/\1/p' "$root/Cargo.toml")
key=$( (echo "$version $features"; c++ --version; rustc --version) | sha256sum | cut -c1-12)
home=${XDG_CACHE_HOME:-$HOME/.cache}/millrace/rocksdb/${version%%+*}-$key

# crate_folder NAME: where its sources are.
crate_folder() {
  cargo metadata --locked --format-version 1 --filter-platform "$(rustc --print host-tuple)" \
    --manifest-path "$root/Cargo.toml" |
    grep -o '"manifest_path":"[^"]*/'"$1"'-[^"]*/Cargo.toml"' | cut -d'"' -f4 | xargs dirname
}

# by_cargo: as librocksdb-sys builds it.
by_cargo() {
  # Release has the C++ at full optimisation; without debug information the library is a tenth of the size.
  (cd "$root" && env -u ROCKSDB_LIB_DIR -u ROCKSDB_INCLUDE_DIR CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo build --quiet --locked --release -p librocksdb-sys --target-dir "$home/build") >&2
  cp "$home"/build/release/build/librocksdb-sys-*/out/librocksdb.a "$home/librocksdb.a"
}

# at_once: the same files with the same settings, but many in one translation unit, as RocksDB's own `make unity.cc`
# has them: most of the time goes into reading the same headers for each. For Linux on x86-64, where the settings
# below are those that librocksdb-sys chooses.
at_once() {
  local lz4 build=$home/build units=24 total
  lz4=$(crate_folder lz4-sys)
  rm -rf "$build" && mkdir -p "$build"
  { grep -v '^util/build_version.cc$' "$sources/rocksdb_lib_sources.txt" | awk 'NF { print "rocksdb/" $1 }'
    echo build_version.cc; } >"$build/list"
  total=$(wc -l <"$build/list")
  split -l $(((total + units - 1) / units)) -d "$build/list" "$build/unit-"
  local unit
  for unit in "$build"/unit-*; do sed "s#.*#\#include \"$sources/&\"#" "$unit" >"$unit.cc"; done
  local flags=(-std=c++20 -O3 -g0 -fPIC -ffunction-sections -fdata-sections -w -msse2
    -DNDEBUG=1 -DLZ4=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX
    -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT
    -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT -include cstdint
    -I "$sources" -I "$sources/rocksdb/include" -I "$sources/rocksdb" -I "$lz4/liblz4/lib")
  printf '%s\0' "$build"/unit-*.cc | xargs -0 -P "$(nproc)" -I{} c++ "${flags[@]}" -c {} -o {}.o
  ar crs "$home/librocksdb.a" "$build"/*.o
}

mkdir -p "$home"
exec 9>"$home/.lock"
flock 9
if [ ! -f "$home/.built" ]; then
  echo "building RocksDB ${version##*+} in $home" >&2
  sources=$(crate_folder librocksdb-sys)
  if [ "$(uname -sm) $features" = 'Linux x86_64 "bindgen-runtime", "lz4"' ]; then at_once; else by_cargo; fi
  cp -r "$sources/rocksdb/include" "$home/include"
  rm -rf "$home/build"
  touch "$home/.built"
fi
echo "$home"
