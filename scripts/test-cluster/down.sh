# shellcheck shell=bash
# Takes a cluster down and clears away what is left of one, however it ended: `down`, a kill, a lost machine.

# Removes all containers through containerd, so that its images can be kept. Fails where containerd no longer answers.
remove_containers() {
  running containerd >/dev/null || return 1
  local containers
  containers=$(timeout 10 "${CONTAINERD_CTL[@]}" containers ls -q) || return 1
  # shellcheck disable=SC2086  # one word each
  [[ -z $containers ]] || {
    printf '%s\n' $containers | xargs -P 4 -I{} timeout 20 "${CONTAINERD_CTL[@]}" task rm --force {} || true
    timeout 20 "${CONTAINERD_CTL[@]}" container rm $containers || true
  } >/dev/null 2>&1
  [[ -z $(timeout 10 "${CONTAINERD_CTL[@]}" containers ls -q) ]]
}

kill_containers() {
  local pids
  pids=$(cgroup_processes)
  # shellcheck disable=SC2086  # one word each
  [[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
}

# Components that keep their data are asked to end; whoever does not within ten seconds is killed with the rest.
end_gently() {
  signal_components TERM "$@"
  (wait_until 10 "$* to end" none_running "$@") 2>/dev/null
}

# etcd's data goes with the cluster, so only containerd and the registry are treated gently. What containerd holds of a
# cluster that died is not to be trusted: it is removed, and the images come back from the registry.
stop_processes() {
  local pids
  signal_components KILL kubelet proxy netpol scheduler controller-manager apiserver etcd
  kill_containers
  if remove_containers && end_gently containerd; then touch "$CONTAINERD_CLEAN"; fi
  end_gently registry || true
  pids=$(marked_processes)
  # shellcheck disable=SC2086  # one word each
  [[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
  (wait_until 10 "every process to end" no_processes) 2>/dev/null || true
  [[ -e $CONTAINERD_CLEAN ]] || rm_tree "$CONTAINERD_ROOT"
}

no_processes() { [[ -z $(marked_processes) && -z $(cgroup_processes) ]]; }

# Mount points of the cluster, the innermost first.
mounts() {
  awk -v state="$STATE/" \
    -v run="$RUN/" 'index($5, state) == 1 || index($5, run) == 1 {print $5}' /proc/self/mountinfo | tac
}

# Never removes through a mount: the folder of models is mounted into pods.
rm_tree() {
  [[ -z $(mounts) ]] || unmount_all
  [[ -z $(mounts) ]] || die "still mounted: $(mounts | head -n 1); nothing was removed"
  rm -rf "$@"
}

unmount_all() {
  local mount
  for mount in $(mounts); do
    umount "$mount" 2>/dev/null || umount --lazy "$mount" 2>/dev/null || true
  done
}

nft_tables() { { nft list tables 2>/dev/null || true; } | grep \
  -E "^table (ip6? kube-proxy|inet $NFT_TABLE)\$" || true; }

remove_network() {
  local table address result sandbox
  ip link del "$BRIDGE" 2>/dev/null || true # and with it the route and the pods' ends that are left
  nft_tables | while read -r table; do
    # shellcheck disable=SC2086  # "table ip kube-proxy": three words
    nft delete $table
  done
  if command -v iptables >/dev/null; then
    while iptables -D "${FORWARD_RULE[@]}" 2>/dev/null; do :; done
  fi
  remove_policies
  # What the CNI library and the shims keep outside the folders they are told of: NETWORK-SANDBOX-INTERFACE of each pod,
  # and a socket.
  for result in /var/lib/cni/{,cache/}results/berth-*-eth0; do
    sandbox=${result##*/berth-} sandbox=${sandbox%-eth0}
    rm -f "$result" "${result%/*}/cni-loopback-$sandbox-lo"
  done
  for address in "$RUN"/containerd/io.containerd.runtime.v2.task/*/*/address; do
    [[ ! -e $address ]] || rm -f "$(sed 's|^unix://||' "$address")"
  done
}

# Chains and sets of addresses of network policies. The table itself may be that of others, Docker's for example: it
# goes where nothing is left in it.
remove_policies() {
  local set
  if [[ -n $(policy_chains) ]]; then
    iptables-save -t filter | grep -vE "$POLICY_CHAINS" | iptables-restore -T filter
  fi
  for set in $(policy_sets); do ipset destroy "$set"; done
  if filter_table_is_empty; then nft delete table ip filter; fi
}

POLICY_CHAINS='KUBE-(ROUTER|POD-FW|NWPLCY)-'

policy_chains() { { iptables-save -t filter 2>/dev/null || true; } | grep -E "^:$POLICY_CHAINS" || true; }
policy_sets() { { ipset list -n 2>/dev/null || true; } | grep -E '^KUBE-(SRC|DST)-' || true; }

# As iptables leaves it behind: with chains of the kernel's hooks alone that accept everything.
filter_table_is_empty() {
  local table
  table=$(nft list table ip filter 2>/dev/null) || return 1
  ! grep -qvE '^[[:space:]]*($|#|\}|table ip |chain (INPUT|FORWARD|OUTPUT) |type filter .* policy accept;)' <<<"$table"
}

remove_cgroups() {
  local folder
  for folder in $(cgroup_folders); do
    find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

# What is still there of a cluster, one thing a line.
leftovers() {
  marked_processes | sed 's/^/process /'
  cgroup_processes | sed 's/^/process in a container /'
  mounts | sed 's/^/mount /'
  nft_tables
  policy_chains | sed 's/^:/chain of iptables /'
  policy_sets | sed 's/^/ipset /'
  ip -o link show "$BRIDGE" 2>/dev/null | cut -d: -f2 | sed 's/^/bridge/'
  ip route show "$SERVICES" | sed 's/^/route /'
  cgroup_folders | sed 's/^/cgroup /'
}

# Idempotent. Keeps the images, the registry's data and the model store.
clear_cluster() {
  stop_processes
  unmount_all
  remove_network
  remove_cgroups
  find /var/log/containers -maxdepth 1 -lname "$STATE/*" -delete 2>/dev/null || true
  rm_tree "$STATE"/{etcd,kubelet,pod-logs,cni} "$RUN"
  mkdir -p "$RUN"
  [[ -z $(leftovers) ]] || die "left behind, and not to be removed:"$'\n'"$(leftovers)"
  rmdir "$RUN"
}
