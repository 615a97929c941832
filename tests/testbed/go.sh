# Sourced after lib.sh by what builds Go modules: which Go builds them.

# go_since OLDEST FETCHED: prints the path of the system's Go where it is OLDEST or newer, and otherwise, since Debian's
# often is older, that of FETCHED, which stays for others. Go's own toolchains are modules of Go's module proxy.
go_since() {
  local go proxy=${GOPROXY:-https://proxy.golang.org} platform folder
  go=$(command -v go || true)
  if [ -n "$go" ] && printf '%s\n%s\n' "$1" "$("$go" env GOVERSION)" | sort -V -C; then
    echo "$go"
    return
  fi
  platform=linux-$(case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac)
  folder=$TESTBED/go/$2
  if [ ! -d "$folder" ]; then
    echo "fetching $2 for $platform" >&2
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    curl -fsSL --retry 3 -o "$folder.new/go.zip" "${proxy%%,*}/golang.org/toolchain/@v/v0.0.1-$2.$platform.zip"
    python3 -m zipfile -e "$folder.new/go.zip" "$folder.new"
    rm "$folder.new/go.zip"
    # A zip file of Python's has no modes.
    chmod -R u+x "$folder.new/golang.org/toolchain@v0.0.1-$2.$platform/"{bin,pkg/tool}
    mv "$folder.new" "$folder"
  fi
  echo "$folder/golang.org/toolchain@v0.0.1-$2.$platform/bin/go"
}
