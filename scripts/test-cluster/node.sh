# shellcheck shell=bash
# The one node: its network, containerd, kubelet, kube-proxy, and what enforces network policies.

# The bridge comes first, with the service range routed to it: no packet for a pod or a service address ever leaves this
# machine. Pods reach each other, the services and this machine, nothing beyond it.
make_network() {
  [[ -e /proc/sys/net/bridge ]] || modprobe br_netfilter ||
    die "the kernel module br_netfilter is not to be had: services could not answer pods"
  ip link add "$BRIDGE" type bridge
  ip addr add "$NODE_IP/16" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  ip route add "$SERVICES" dev "$BRIDGE"
  sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
  nft -f - <<END
table inet $NFT_TABLE {
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "$BRIDGE" oifname != "$BRIDGE" reject
  }
}
END
  allow_forwarding
}

FORWARD_RULE=(FORWARD -i "$BRIDGE" -o "$BRIDGE" -m comment --comment berth-cluster -j ACCEPT)

# Docker sets the policy of this chain to drop, which would part the pods from each other.
allow_forwarding() {
  command -v iptables >/dev/null || return 0
  if iptables -S FORWARD 2>/dev/null | grep -q '^-P FORWARD DROP'; then iptables -I "${FORWARD_RULE[@]}"; fi
}

write_containerd_config() {
  cat >"$STATE/containerd.toml" <<END
version = 2
root = "$CONTAINERD_ROOT"
state = "$RUN/containerd"
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  disable_apparmor = true
  # Where lowering a process's OOM score is refused, runc would die with "can't get final child's PID from pipe: EOF".
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    discard_unpacked_layers = true # the registry still has them, compressed
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_plugins)"
    conf_dir = "$STATE/cni"
END
  mkdir -p "$STATE/cni"
  cat >"$STATE/cni/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "berth", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$RUN/ipam", "ranges": [[{"subnet": "$PODS"}]],
      "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
END
}

# shellcheck disable=SC2034  # used by scripts/cluster and down.sh
CONTAINERD_CTL=(ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io)

# There is no DNS in the cluster: CoreDNS is in no registry of packages. Pods find the API server and the services of
# their namespace through the environment that Kubernetes gives them. Nobody listens at clusterDNS, so that a lookup
# fails at once and does not hang.
write_kubelet_config() {
  cat >"$STATE/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
clusterDNS: [$NODE_IP]
clusterDomain: cluster.local
resolvConf: ""
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: "$PKI/ca.crt"}, webhook: {enabled: true}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/node.crt
tlsPrivateKeyFile: $PKI/node.key
podLogsDir: $STATE/pod-logs
serializeImagePulls: false
# Never: a test image must not go because the disk that it shares is full of something else.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "1Gi", imagefs.available: "1Gi"}
END
}

# Every hierarchy gets our cgroup before kubelet looks for it.
make_cgroups() {
  local hierarchy
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    mkdir -p "/sys/fs/cgroup/$CGROUP"
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    [[ ! -e $hierarchy/cgroup.procs ]] || mkdir -p "$hierarchy$CGROUP"
  done
}

start_containerd() {
  write_containerd_config
  rm -f "$CONTAINERD_CLEAN"
  start containerd containerd --config "$STATE/containerd.toml"
}

# A run that was killed while it drained the node would leave it closed to every pod of the next one.
open_node() {
  [[ -z $(kubectl_own get node "$NODE" -o jsonpath='{.spec.unschedulable}') ]] || {
    kubectl_own uncordon "$NODE" >/dev/null
    say "$NODE takes pods again"
  }
}

start_node() {
  write_kubelet_config
  make_cgroups
  start kubelet "$KUBE_FOLDER/kube" kubelet --config="$STATE/kubelet.yaml" --kubeconfig="$PKI/node.kubeconfig" \
    --root-dir="$STATE/kubelet" \
    --hostname-override="$NODE" --node-ip="$NODE_IP" --node-labels=berth.dev/test-cluster=true
  # The conntrack settings at 0: left as they are, since they belong to the whole machine.
  start proxy "$KUBE_FOLDER/kube" kube-proxy --kubeconfig="$PKI/proxy.kubeconfig" --hostname-override="$NODE" \
    --proxy-mode=nftables --cluster-cidr="$PODS" \
    --healthz-bind-address=127.0.0.1 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0
}

# NetworkPolicies, by the controller of kube-router. It starts when the node has its address.
start_netpol() {
  kubectl_own apply -f "$(dirname "${BASH_SOURCE[0]}")/netpol.yaml" >/dev/null
  start netpol "$(netpol_folder)/netpol" --kubeconfig="$PKI/netpol.kubeconfig" --hostname-override="$NODE" \
    --service-cluster-ip-range="$SERVICES"
}

# Its first round is done when its chains are there.
policies_enforced() { iptables -n -L KUBE-ROUTER-FORWARD; }

# The image that holds a pod's namespaces, made here since no registry of images need be reachable.
push_pause_image() {
  local work container
  in_registry berth/pause "${PAUSE_IMAGE##*:}" && return
  ensure_tools gcc buildah
  say "building the pause image"
  work=$(mktemp -d)
  gcc -O2 -static -s -o "$work/pause" "$(dirname "${BASH_SOURCE[0]}")/pause.c"
  container=$(buildah from scratch)
  {
    buildah copy "$container" "$work/pause" /pause
    buildah config --entrypoint '["/pause"]' "$container"
    buildah commit --rm "$container" "$PAUSE_IMAGE"
    buildah push --tls-verify=false "$PAUSE_IMAGE"
    buildah rmi "$PAUSE_IMAGE"
  } >"$LOGS/pause-image.log" 2>&1 || die "the pause image could not be built: see $LOGS/pause-image.log"
  rm -rf "$work"
}
