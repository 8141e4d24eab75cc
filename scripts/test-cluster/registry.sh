# shellcheck shell=bash
# The cluster's image registry, by its HTTP API.

# Its data stays when the cluster goes: what was pushed once need not be pushed again.
start_registry() {
  mkdir -p "$REGISTRY_DATA"
  cat >"$STATE/registry.yaml" <<END
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$REGISTRY_DATA"}, delete: {enabled: true}}
http: {addr: "127.0.0.1:5000"}
END
  start registry docker-registry serve "$STATE/registry.yaml"
}

registry_answers() { curl -sf --max-time 5 -o /dev/null "http://$REGISTRY/v2/"; }

# in_registry NAME TAG
in_registry() {
  curl -sf --max-time 5 -o /dev/null "http://$REGISTRY/v2/$1/manifests/$2" \
    -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json'
}
