# shellcheck shell=bash disable=SC2034  # sourced: others use what is set here
# Where the test cluster keeps its things, its addresses, and whose cluster KUBECONFIG names.

# Without links, as the kernel lists mounts.
CACHE=$(realpath -m "${BERTH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/berth}")
STATE=$(realpath -m "${BERTH_CLUSTER_STATE:-$CACHE/cluster}")
RUN=/run/berth-cluster # sockets and mounts of containers: paths that must be short, and that no reboot keeps
LOGS=$STATE/log
AUDIT_LOG=$LOGS/audit.log # who asked the API server for what
PKI=$STATE/pki
OWN_KUBECONFIG=$STATE/kubeconfig
MODEL_STORE=$STATE/models # the folder behind every PersistentVolume of the cluster; `down` keeps it
REGISTRY_DATA=$CACHE/registry
REGISTRY=localhost:5000 # by this very name: containerd speaks plain HTTP to a registry on localhost only

CONTAINERD_SOCKET=$RUN/containerd.sock
CONTAINERD_ROOT=$STATE/containerd
CONTAINERD_CLEAN=$STATE/containerd-is-clean # there while no container is in it and containerd does not run
CGROUP=berth-cluster
NFT_TABLE=berth-cluster

NODE=berth-test
BRIDGE=berth0
NODE_IP=10.88.0.1
PODS=10.88.0.0/16
SERVICES=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
PAUSE_IMAGE=$REGISTRY/berth/pause:1

# Proxies are for the outside: nothing that talks to the cluster may go through one.
NO_PROXY=${NO_PROXY:-${no_proxy:-}}
[[ $NO_PROXY == *"$SERVICES"* ]] || NO_PROXY=${NO_PROXY:+$NO_PROXY,}localhost,127.0.0.1,$PODS,$SERVICES
export NO_PROXY no_proxy=$NO_PROXY

# Progress goes to stderr: the standard output of `env` and of `images --print` is for programs.
say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}

[[ $CACHE$STATE != *[[:space:]]* ]] ||
  die "BERTH_CACHE and BERTH_CLUSTER_STATE must be paths without spaces: $CACHE, $STATE"

# Whether KUBECONFIG names a cluster of the user's. After `eval "$(scripts/cluster env)"` it names the one made here.
uses_foreign_cluster() {
  [[ -n ${KUBECONFIG:-} && $(realpath -m "$KUBECONFIG") != $(realpath -m "$OWN_KUBECONFIG") ]]
}

# One `up`, `down` or `store` at a time. File descriptor 9 holds the lock; what `start` runs does not inherit it.
lock_cluster() {
  mkdir -p "$STATE"
  exec 9>"$STATE/lock"
  flock -n 9 && return
  say "waiting for another scripts/cluster to finish"
  flock 9
}

# wait_until SECONDS WHAT COMMAND...: polls COMMAND until it succeeds, or dies saying WHAT never came.
wait_until() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "$what: not within the time given; the logs are in $LOGS"
    sleep 0.1
  done
}
