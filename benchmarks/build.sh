# Sourced by the scripts here, with $root set: builds what is measured, and says where it is.
# BENCH_PROFILE=dev is for working on the benchmark itself; its figures mean nothing.

profile=${BENCH_PROFILE:-release}
binaries=${CARGO_TARGET_DIR:-$root/target}/$([ "$profile" = dev ] && echo debug || echo "$profile")

# build PACKAGE...
build() {
  "$root/tests/testbed/system.sh" build
  local package arguments=()
  for package in "$@"; do arguments+=(-p "$package"); done
  (cd "$root" && scripts/cargo.sh build --quiet --profile "$profile" "${arguments[@]}")
}
