# shellcheck shell=bash
# The tools that the cluster and the image builds stand on, installed with apt where that is possible.

# The Debian package that carries a tool.
package_of() {
  case $1 in
    cni) echo containernetworking-plugins ;;
    ctr) echo containerd ;;
    gcc) echo gcc libc6-dev ;;
    ip) echo iproute2 ;;
    nft) echo nftables ;;
    sysctl) echo procps ;;
    *) echo "$1" ;;
  esac
}

# The folder of the CNI plugins: Debian's, or where everybody else puts them.
cni_plugins() {
  local folder
  for folder in /usr/lib/cni /opt/cni/bin; do
    [[ -x $folder/bridge && -x $folder/host-local ]] && echo "$folder" && return
  done
  return 1
}

has_tool() {
  if [[ $1 == cni ]]; then cni_plugins >/dev/null; else command -v "$1" >/dev/null; fi
}

# ensure_tools TOOL...: every one is there afterwards, or the script ends saying what is missing and how to get it.
ensure_tools() {
  local tool missing=() packages=()
  for tool in "$@"; do
    if ! has_tool "$tool"; then
      missing+=("$tool")
      read -ra names <<<"$(package_of "$tool")"
      packages+=("${names[@]}")
    fi
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    die "missing: ${missing[*]}. On Debian or Ubuntu: sudo apt-get install ${packages[*]};" \
      "elsewhere, your distribution's packages of these tools"
  fi
  say "installing ${packages[*]}"
  install_packages "${packages[@]}"
  for tool in "${missing[@]}"; do
    has_tool "$tool" || die "'$tool' is still missing after installing ${packages[*]}"
  done
}

# Debian starts a package's service when it is installed; the cluster runs its own containerd and registry, so that is
# refused meanwhile.
install_packages() {
  local policy=/usr/sbin/policy-rc.d log=$CACHE/apt.log
  mkdir -p "$CACHE"
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  {
    # A fresh machine may be at its own upgrades, which hold dpkg's lock.
    apt-get update &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
  } >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "apt-get could not install $*: see $log"
  }
  if [[ $(trap -p EXIT) == *policy-rc.d* ]]; then
    rm -f "$policy"
    trap - EXIT
  fi
}
