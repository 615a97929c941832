# Sourced by start.sh after env.sh: an authority, a certificate of the broker for its addresses, and one of a client that the
# broker lets in. All are PEM, which Kafka reads as it is: a file with a key and the certificates that vouch for it.

make_certificates() (
  names=IP:127.0.0.1,DNS:localhost
  if [[ $kafka_host =~ ^[0-9.]+$ ]]; then names+=,IP:$kafka_host; else names+=,DNS:$kafka_host; fi
  # Where this is interrupted nothing by the folder's name is there.
  rm -rf "$kafka_certificates.new"
  mkdir "$kafka_certificates.new"
  cd "$kafka_certificates.new"
  # Not the machine's configuration, which would add extensions of its own.
  printf '[req]\ndistinguished_name=dn\n[dn]\n' >openssl.cnf
  certificate ca /CN=testbed -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  signed broker /CN=broker extendedKeyUsage=serverAuth "subjectAltName=$names"
  signed client /CN=client extendedKeyUsage=clientAuth
  cat broker.key broker.crt ca.crt >broker.pem
  mv "$kafka_certificates.new" "$kafka_certificates"
)

certificate() { # certificate NAME SUBJECT OPTION...
  local options=(-subj "$2" -days 3650 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$1.key" -out "$1.crt")
  openssl req -x509 -config openssl.cnf "${options[@]}" -addext subjectKeyIdentifier=hash "${@:3}" 2>openssl.log ||
    { cat openssl.log >&2; return 1; }
}

signed() { # signed NAME SUBJECT EXTENSION...
  local extension options=()
  for extension in basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature authorityKeyIdentifier=keyid "${@:3}"; do
    options+=(-addext "$extension")
  done
  certificate "$1" "$2" -CA ca.crt -CAkey ca.key "${options[@]}"
}
