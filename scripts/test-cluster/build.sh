# shellcheck shell=bash
# Builds the `kube` multi-call binary (etcd, the control plane, the node agents, kubectl) and helm from the Go module
# beside this file. Its go.mod is Kubernetes' own, with each module of its `staging` folder replaced by the published
# one: a new version of Kubernetes means both numbers (v1.X.Y and v0.X.Y) and what `go mod tidy` makes of them.
# The result is cached outside the tree, under a name made of everything that decides it, and published by one rename.

KUBE_MODULE=$(dirname "${BASH_SOURCE[0]}")/kube

# built_folder MODULE: the folder that holds, or will hold, what is built from a Go module. Without Go, one that an
# earlier Go built from the same sources will do.
built_folder() {
  local module=$1 sources name
  name=$(basename "$module")
  sources=$(cat "$module"/{go.mod,go.sum,main.go} | sha256sum | cut -c1-16)
  if command -v go >/dev/null; then
    echo "$CACHE/$name-$sources-$(cd "$module" && go env GOVERSION)"
  else
    find "$CACHE" -maxdepth 1 -name "$name-$sources-*" 2>/dev/null | sort | tail -n 1
  fi
}

# kube, kubectl and helm.
kube_folder() { built_folder "$KUBE_MODULE"; }

kubernetes_version() { awk '$1 == "k8s.io/kubernetes" {print $2}' "$KUBE_MODULE/go.mod"; }

ensure_kube() {
  local folder
  folder=$(kube_folder)
  [[ -n $folder && -x $folder/kube && -x $folder/helm ]] && return
  require_go
  build_kube "$folder"
}

require_go() {
  command -v go >/dev/null ||
    die "missing: go, 1.21 or newer (it fetches the toolchain it needs by itself): see https://go.dev/doc/install"
}

# A module of its own beside Kubernetes', with the same versions of what both need: built after it, and apart from it,
# it compiles a handful of packages, and no change of it has Kubernetes built again.
NETPOL_MODULE=$(dirname "${BASH_SOURCE[0]}")/netpol
netpol_folder() { built_folder "$NETPOL_MODULE"; }

ensure_netpol() {
  local folder log=$CACHE/netpol-build.log work
  folder=$(netpol_folder)
  [[ -n $folder && -x $folder/netpol ]] && return
  require_go
  work=$(mktemp -d "$CACHE/netpol-build.XXXXXX")
  say "building what enforces network policies (log: $log)"
  if ! go_install "$NETPOL_MODULE" "$work" -ldflags "-s -w" . >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -rf "$work"
    die "what enforces network policies did not build: see $log"
  fi
  publish_build "$work" "$folder"
}

build_kube() {
  local folder=$1 log=$CACHE/kube-build.log work pid
  mkdir -p "$CACHE"
  work=$(mktemp -d "$CACHE/kube-build.XXXXXX")
  say "building Kubernetes $(kubernetes_version) and helm from Go modules: about 15 minutes the first time," \
    "under one with Go's build cache (log: $log)"
  compile "$work" >"$log" 2>&1 &
  pid=$!
  report_build "$pid" "$log"
  if ! wait "$pid"; then
    tail -n 20 "$log" >&2
    rm -rf "$work"
    die "Kubernetes did not build: see $log"
  fi
  ln -s kube "$work/kubectl"
  publish_build "$work" "$folder"
}

publish_build() {
  local work=$1 folder=$2
  chmod 755 "$work"
  rm -rf "$folder"
  mv -T "$work" "$folder"
  say "built: $folder"
}

# go_install MODULE FOLDER ARGUMENT...: the module's programs, into the folder.
go_install() {
  local module=$1 folder=$2
  shift 2
  (
    cd "$module" || return
    export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off GOBIN=$folder
    go install -v -trimpath "$@"
  )
}

compile() {
  local version major minor stamp
  version=$(kubernetes_version)
  IFS=. read -r major minor _ <<<"${version#v}"
  stamp="-X k8s.io/component-base/version.gitVersion=$version"
  stamp+=" -X k8s.io/component-base/version.gitMajor=$major -X k8s.io/component-base/version.gitMinor=$minor"
  # go.mod's tool line names helm.
  go_install "$KUBE_MODULE" "$1" -ldflags "-s -w $stamp" . && go_install "$KUBE_MODULE" "$1" -ldflags "-s -w" tool
}

# A line every half minute while the build PID runs: modules fetched, packages compiled.
report_build() {
  local pid=$1 log=$2 started=$SECONDS next=30 fetched lines
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5
    ((SECONDS - started >= next)) || continue
    next=$((next + 30))
    fetched=$(grep -c '^go: downloading' "$log") || true
    lines=$(wc -l <"$log")
    say "  $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s:" \
      "$fetched modules fetched, $((lines - fetched)) packages compiled"
  done
}
