# Sourced by run.sh after env.sh: the cluster's certificates and the files by which its components, and its users,
# find the API server and say who they are.

# openssl without the machine's configuration, which would add extensions of its own.
certificate() { # certificate NAME SUBJECT OPTION...
  local options=(-subj "$2" -days 3650 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$1.key" -out "$1.crt")
  openssl req -x509 -config "$state/etc/openssl.cnf" "${options[@]}" -addext subjectKeyIdentifier=hash "${@:3}" \
    2>>"$state/openssl.log"
}

signed() { # signed NAME SUBJECT EXTENSION...
  local extension options=()
  for extension in basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature authorityKeyIdentifier=keyid "${@:3}"; do
    options+=(-addext "$extension")
  done
  certificate "$1" "$2" -CA ca.crt -CAkey ca.key "${options[@]}"
}

client() { # client NAME SUBJECT: a certificate, and a kubeconfig that holds it
  signed "$1" "$2" extendedKeyUsage=clientAuth
  cat >"$1.conf" <<END
apiVersion: v1
kind: Config
current-context: testbed
contexts: [{name: testbed, context: {cluster: testbed, user: $1}}]
clusters:
- name: testbed
  cluster: {server: "$api", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}
END
}

make_certificates() (
  cd "$state/etc"
  printf '[req]\ndistinguished_name=dn\n[dn]\n' >openssl.cnf
  certificate ca /CN=testbed -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  making=()
  make() { "$@" & making+=($!); }
  names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
  make signed apiserver /CN=kube-apiserver extendedKeyUsage=serverAuth \
    "subjectAltName=$names,IP:127.0.0.1,IP:$kubernetes_service,IP:$node_address"
  make signed kubelet-server "/CN=$node" extendedKeyUsage=serverAuth "subjectAltName=DNS:$node,IP:127.0.0.1,IP:$node_address"
  make signed apiserver-client /O=system:masters/CN=kube-apiserver-kubelet-client extendedKeyUsage=clientAuth
  make client admin /O=system:masters/CN=admin
  make client controller-manager /CN=system:kube-controller-manager
  make client scheduler /CN=system:kube-scheduler
  make client kubelet "/O=system:nodes/CN=system:node:$node"
  make client proxy /CN=system:kube-proxy
  make client coredns /CN=coredns
  openssl ecparam -name prime256v1 -genkey -noout -out accounts.key
  openssl ec -in accounts.key -pubout -out accounts.pub 2>>"$state/openssl.log"
  for process in "${making[@]}"; do wait "$process"; done
)
