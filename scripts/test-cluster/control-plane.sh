# shellcheck shell=bash
# Keys, kubeconfigs, etcd, the API server, the controller manager and the scheduler.
# Keys and etcd's data are new at every `up`: a cluster that went down takes its objects along.

ALLOWED_DAYS=365

# Whole, as RFC 5280 has them: Python verifies strictly since 3.13.
certificate_extensions() {
  printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \
    extendedKeyUsage=serverAuth,clientAuth \
    subjectKeyIdentifier=hash authorityKeyIdentifier=keyid "${1:+subjectAltName=$1}"
}

# sign NAME SUBJECT [NAMES]: a key and a certificate of the cluster's authority, good for serving as NAMES and for
# logging in as SUBJECT.
sign() {
  local name=$1 subject=$2 names=${3:-}
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$PKI/$name.key" -out "$PKI/$name.csr" \
    -subj "$subject"
  openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days $ALLOWED_DAYS \
    -out "$PKI/$name.crt" \
    -extfile <(certificate_extensions "$names")
}

make_certificates() {
  rm -rf "$PKI"
  (umask 077 && mkdir -p "$PKI")
  {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$PKI/ca.key" -out "$PKI/ca.crt" \
      -subj /CN=berth-test-cluster -days $ALLOWED_DAYS -addext keyUsage=critical,keyCertSign,cRLSign
    local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
    sign apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$NODE_IP,IP:$API_SERVICE_IP,$names"
    sign admin /O=system:masters/CN=admin
    sign node "/O=system:nodes/CN=system:node:$NODE" "IP:127.0.0.1,IP:$NODE_IP,DNS:$NODE"
    sign controller-manager /CN=system:kube-controller-manager
    sign scheduler /CN=system:kube-scheduler
    sign proxy /CN=system:kube-proxy
    sign netpol /CN=berth-test:netpol
    openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/service-accounts.key"
    openssl ec -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub"
  } >"$LOGS/openssl.log" 2>&1
}

# write_kubeconfig USER FILE: complete in itself, so that it can be copied anywhere on this machine.
write_kubeconfig() {
  local user=$1 file=$2
  base64_of() { base64 -w0 <"$PKI/$1"; }
  (
    umask 077
    cat >"$file" <<END
apiVersion: v1
kind: Config
clusters:
- name: berth-test
  cluster: {server: "https://$NODE_IP:6443", certificate-authority-data: $(base64_of ca.crt)}
users:
- name: $user
  user: {client-certificate-data: $(base64_of "$user.crt"), client-key-data: $(base64_of "$user.key")}
contexts:
- name: berth-test
  context: {cluster: berth-test, user: $user}
current-context: berth-test
END
  )
}

write_kubeconfigs() {
  local user
  write_kubeconfig admin "$OWN_KUBECONFIG"
  for user in node controller-manager scheduler proxy netpol; do
    write_kubeconfig $user "$PKI/$user.kubeconfig"
  done
}

start_etcd() {
  start etcd "$KUBE_FOLDER/kube" etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
}

start_apiserver() {
  start apiserver "$KUBE_FOLDER/kube" kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
    --bind-address="$NODE_IP" --advertise-address="$NODE_IP" --secure-port=6443 --service-cluster-ip-range="$SERVICES" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$PKI/service-accounts.pub" \
    --service-account-signing-key-file="$PKI/service-accounts.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file="$(dirname "${BASH_SOURCE[0]}")/audit-policy.yaml" \
    --audit-log-path="$AUDIT_LOG" --audit-log-maxsize=200 --audit-log-maxbackup=1
}

# api_answers ADDRESS: cheaper than kubectl, and needs no login. What is sent to a service before kube-proxy knows it is
# lost for three seconds, so a connection is given less.
api_answers() { curl -sf --connect-timeout 0.5 --max-time 5 --cacert "$PKI/ca.crt" "https://$1/readyz" -o /dev/null; }

start_controllers() {
  local controller_manager=$PKI/controller-manager.kubeconfig scheduler=$PKI/scheduler.kubeconfig
  # Each controller makes itself a service account first: at the default 20 requests a second that alone takes five
  # seconds.
  start controller-manager "$KUBE_FOLDER/kube" kube-controller-manager --kubeconfig="$controller_manager" \
    --leader-elect=false \
    --kube-api-qps=200 --kube-api-burst=400 --use-service-account-credentials=true \
    --service-account-private-key-file="$PKI/service-accounts.key" --root-ca-file="$PKI/ca.crt" \
    --authentication-kubeconfig="$controller_manager" --authentication-skip-lookup=true --bind-address=127.0.0.1
  start scheduler "$KUBE_FOLDER/kube" kube-scheduler --kubeconfig="$scheduler" --leader-elect=false \
    --authentication-kubeconfig="$scheduler" --authentication-skip-lookup=true --bind-address=127.0.0.1
}

start_control_plane() {
  rm -f "$AUDIT_LOG"
  make_certificates
  write_kubeconfigs
  start_etcd
  start_apiserver
}
