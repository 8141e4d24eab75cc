# shellcheck shell=bash
# Sourced by the other scripts: makes sure that uv, which brings everything else that is Python, is at hand.

BERTH_CACHE=${BERTH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/berth}

ensure_uv() {
  command -v uv >/dev/null && return
  local folder=$BERTH_CACHE/uv
  if [[ ! -x $folder/bin/uv ]]; then
    echo "installing uv into $folder" >&2
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet uv || {
      rm -rf "$folder"
      echo "uv is missing and could not be installed: install it (a Python package, and in most distributions)" >&2
      return 1
    }
  fi
  export PATH=$folder/bin:$PATH
}
