#!/usr/bin/env bash
# system.sh GROUP...: makes sure that this machine has what a part of Millrace needs from the
# system's packages. Asks for nothing when all is there; installs with apt-get when it may (root,
# or sudo without a password); otherwise says which packages to install and fails.
#
#   build       what the Rust build needs: C and C++ compilers, libclang, OpenSSL's and zlib's headers
#   java        a Java 17 runtime or newer and Maven, for Kafka and Flink
#   tls         OpenSSL's command, for Kafka's certificates
#   fetch       curl and Python 3, for what is no package
#   python      Python 3 with pip and venv, for Flink's jars and the examples' producers
#   kubernetes  containerd and runc, what pods' network needs, and a C compiler, for Kubernetes
set -euo pipefail

declare -a missing=()

need() { # need PACKAGE CHECK...: the package is missing where the check fails
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

# Some are in a folder that only root has in its path.
has() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }
has_java() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | { read -r major && [ "$major" -ge 17 ]; }; }
# Not libclang-cpp, which comes with compilers and which bindgen can't use.
has_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] || compgen -G '/usr/lib/llvm-*/lib/libclang.so*' ||
    compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' || ldconfig -p | grep -E 'libclang(-[0-9]+)?\.so'
}
# Apart from pkg-config: the C compiler is asked, since that is who has to find the header.
has_header() { echo "#include <$1>" | cc -E -; }
has_network_plugins() { test -x /usr/lib/cni/bridge || test -x /opt/cni/bin/bridge; }
has_venv() { python3 -c 'import venv, ensurepip'; }

for group in "${@:?usage: system.sh build|java|tls|fetch|python|kubernetes...}"; do
  case $group in
    build)
      need build-essential has c++
      need build-essential has make
      need cmake has cmake
      need pkg-config has pkg-config
      need libclang-dev has_libclang
      need libssl-dev has_header openssl/ssl.h
      need zlib1g-dev has_header zlib.h
      ;;
    java)
      need openjdk-17-jre-headless has_java
      need maven has mvn
      need curl has curl
      ;;
    tls) need openssl has openssl ;;
    fetch)
      need curl has curl
      need ca-certificates test -d /etc/ssl/certs
      need python3 has python3
      ;;
    python)
      need python3 has python3
      need python3-pip python3 -m pip --version
      need python3-venv has_venv
      ;;
    kubernetes)
      need containerd has containerd
      need containerd has ctr
      need runc has runc
      need containernetworking-plugins has_network_plugins
      need iptables has iptables
      need iproute2 has ip
      need kmod has modprobe
      need openssl has openssl
      need gcc has cc
      need libc6-dev has_header stdlib.h
      ;;
    *)
      echo "system.sh: no group called $group (build, java, tls, fetch, python, kubernetes)" >&2
      exit 2
      ;;
  esac
done

[ ${#missing[@]} -gt 0 ] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if has sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    echo "This needs packages that are not installed. Please run: sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
has apt-get >/dev/null || { echo "This needs (by their names in Debian): ${missing[*]}" >&2; exit 1; }

echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
