# shellcheck shell=bash
# The PersistentVolumes that stand in for a provisioner: all of them are the one folder MODEL_STORE.

VOLUMES=16

# The group of Berth's pods. The kubelet gives a `local` volume to a pod's fsGroup only if no other pod has it mounted
# already.
STORE_GROUP=65532

# Group-writable, and inherited by what is made in it.
make_store_folder() {
  mkdir -p "$MODEL_STORE"
  chgrp "$STORE_GROUP" "$MODEL_STORE"
  chmod 2775 "$MODEL_STORE"
}

apply_volumes() {
  local number template
  template=$(dirname "${BASH_SOURCE[0]}")/model-store.yaml
  for ((number = 1; number <= VOLUMES; number++)); do
    sed -e "s|@NAME@|berth-test-store-$number|; s|@NODE@|$NODE|; s|@MODEL_STORE@|$MODEL_STORE|" "$template"
    echo ---
  done | kubectl_own apply --server-side -f - >/dev/null
}

# A volume whose claim was deleted waits as Released for someone to look at its data; here it may be claimed again at
# once.
free_released_volumes() {
  local volume
  kubectl_own get pv -l berth.dev/test-cluster=true \
    -o jsonpath='{range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}' |
    while read -r volume; do
      kubectl_own patch pv "$volume" --type=json -p '[{"op": "remove", "path": "/spec/claimRef"}]' >/dev/null
      say "$volume may be claimed again"
    done
}
