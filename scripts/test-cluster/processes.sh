# shellcheck shell=bash
# The cluster's own processes. Each carries MARK in its environment, containerd's shims included, which inherit it: a
# process is known by that, never by a stored number alone, which another process may have by now.

MARK=BERTH_CLUSTER_PROCESS=$STATE

# start NAME COMMAND...: in the background, in a session of its own, logging to NAME.log.
start() {
  local name=$1
  shift
  (cd / && exec env "$MARK" setsid "$@" </dev/null >"$LOGS/$name.log" 2>&1 9>&-) &
  echo $! >"$RUN/$name.pid"
}

# Addresses, ports and the bridge are one machine's: a cluster that keeps its state elsewhere (BERTH_CLUSTER_STATE) must
# go first.
refuse_second_cluster() {
  local other
  other=$(cat "$RUN/state" 2>/dev/null) || return 0
  [[ $other == "$STATE" ]] || ! grep -qzxF "BERTH_CLUSTER_PROCESS=$other" /proc/[0-9]*/environ 2>/dev/null ||
    die "another test cluster runs on this machine: BERTH_CLUSTER_STATE=$other scripts/cluster down"
}

# The process number of NAME, if it runs.
running() {
  local pid
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
  grep -qzxF "$MARK" "/proc/$pid/environ" 2>/dev/null || return 1
  echo "$pid"
}

# Every process of the cluster but those inside containers, which have an environment of their own: see
# cgroup_processes.
marked_processes() {
  { grep -lzxF "$MARK" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3
}

# Ours in each cgroup hierarchy: of version 1 there are several, of version 2 one.
cgroup_folders() {
  find /sys/fs/cgroup -maxdepth 2 -type d -name "$CGROUP"
}

cgroup_processes() {
  local folder
  for folder in $(cgroup_folders); do
    find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null
  done | sort -nu
}

# What must run for the cluster to be up, in the order it is started.
COMPONENTS=(registry etcd apiserver controller-manager scheduler containerd kubelet proxy netpol)

missing_components() {
  local name
  for name in "${COMPONENTS[@]}"; do
    running "$name" >/dev/null || echo "$name"
  done
}

signal_components() {
  local signal=$1 name pid
  shift
  for name in "$@"; do
    if pid=$(running "$name"); then kill -s "$signal" "$pid" 2>/dev/null || true; fi
  done
}

none_running() {
  local name
  for name in "$@"; do
    ! running "$name" >/dev/null || return 1
  done
}
