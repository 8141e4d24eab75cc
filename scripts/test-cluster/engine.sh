# shellcheck shell=bash
# Building images with docker, podman or buildah, whichever works here, and the base image that they start from.

BASE_IMAGE=docker.io/library/debian:trixie-slim
HOMEMADE_BASE=localhost/berth/base:trixie # the same from Debian's packages, where no registry of images can be reached

# A docker client without an engine behind it is no engine.
find_engine() {
  local engine
  for engine in docker podman buildah; do
    if command -v $engine >/dev/null && timeout 20 $engine info >/dev/null 2>&1; then
      echo $engine
      return
    fi
  done
  ensure_tools buildah
  timeout 20 buildah info >/dev/null 2>&1 ||
    die "no image engine works here: 'docker info', 'podman info' and 'buildah info' all fail"
  echo buildah
}

# The id of a local image; fails where there is none of that name. ENGINE is what find_engine answered.
image_id() {
  # shellcheck disable=SC2153
  case $ENGINE in
    buildah) buildah inspect --type image --format '{{.FromImageID}}' "$1" 2>/dev/null ;;
    *) $ENGINE image inspect --format '{{.Id}}' "$1" 2>/dev/null ;;
  esac
}

# The name of the base image, fetched or made where it is not here yet.
ensure_base() {
  local image
  if [[ -n ${BERTH_BASE_IMAGE:-} ]]; then
    image_id "$BERTH_BASE_IMAGE" >/dev/null || $ENGINE pull "$BERTH_BASE_IMAGE" >&2 ||
      die "BERTH_BASE_IMAGE=$BERTH_BASE_IMAGE cannot be pulled"
    echo "$BERTH_BASE_IMAGE"
    return
  fi
  for image in "$BASE_IMAGE" "$HOMEMADE_BASE"; do
    if image_id "$image" >/dev/null; then
      echo "$image"
      return
    fi
  done
  say "pulling $BASE_IMAGE"
  if timeout 120 "$ENGINE" pull "$BASE_IMAGE" >/dev/null 2>&1; then
    echo "$BASE_IMAGE"
    return
  fi
  make_base
  echo "$HOMEMADE_BASE"
}

make_base() {
  local root log=$CACHE/base-image.log container
  ((EUID == 0)) || die "$BASE_IMAGE cannot be pulled, and making a base image of Debian's packages needs root"
  ensure_tools debootstrap
  say "$BASE_IMAGE cannot be pulled: making $HOMEMADE_BASE of Debian's packages, about a minute (log: $log)"
  mkdir -p "$CACHE"
  root=$(mktemp -d "$CACHE/base.XXXXXX")
  if ! debootstrap --variant=minbase trixie "$root/root" >"$log" 2>&1; then
    rm -rf "$root"
    die "debootstrap failed: see $log"
  fi
  rm -rf "$root"/root/var/{cache/apt,lib/apt/lists}/* "$root"/root/usr/share/{doc,info,locale,man}/*
  tar -C "$root/root" -cf "$root/root.tar" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' .
  {
    if [[ $ENGINE == buildah ]]; then
      container=$(buildah from scratch)
      buildah add "$container" "$root/root.tar" /
      buildah config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
      buildah commit --rm "$container" $HOMEMADE_BASE
    else
      $ENGINE import --change 'CMD ["bash"]' "$root/root.tar" $HOMEMADE_BASE
    fi
  } >>"$log" 2>&1 || die "the base image could not be stored: see $log"
  rm -rf "$root"
}

# build_image CONTAINERFILE TARGET IMAGE [ARGUMENT...]: from the root of the repository, every layer cached.
build_image() {
  local containerfile=$1 target=$2 image=$3
  local arguments=(--network host --build-arg "BASE=$BASE" --target "$target" -f "$containerfile" "${@:4}")
  case $ENGINE in
    docker) docker build "${arguments[@]}" -t "$image" . ;;
    podman) build_behind_proxy podman build --layers "${arguments[@]}" "$image" ;;
    buildah) build_behind_proxy buildah bud --isolation chroot --pull-never --layers "${arguments[@]}" "$image" ;;
  esac
}

# build_behind_proxy COMMAND... IMAGE: behind a proxy that intercepts TLS, which shows as SSL_CERT_FILE naming a bundle
# of its own, pip and uv need that bundle inside the build too. It comes in a folder mounted over /run, which every base
# has, so that no mount point stays behind in a layer (and over /etc/ssl/certs it would break the package that lives
# there). The image that comes out knows nothing of it: a second build takes the two variables away, with a label since
# a build of no step does nothing.
build_behind_proxy() {
  local image=${*: -1} command=("${@:1:$#-1}") bundle=${SSL_CERT_FILE:-} run built status=0
  if [[ ! -f $bundle ]]; then
    "${command[@]}" -t "$image" .
    return
  fi
  # Kept: the layers that only it has are the cache of the next build.
  built=${image##*/} built=localhost/berth/${built%:*}:built
  run=$(mktemp -d)
  install -m 644 "$bundle" "$run/host-ca.crt"
  chmod 755 "$run"
  "${command[@]}" -v "$run:/run" --env PIP_CERT=/run/host-ca.crt --env SSL_CERT_FILE=/run/host-ca.crt -t "$built" . &&
    printf 'FROM %s\nLABEL org.opencontainers.image.title=Berth\n' "$built" |
    "$ENGINE" build --unsetenv PIP_CERT --unsetenv SSL_CERT_FILE -t "$image" -f - "$run" || status=$?
  rm -rf "$run"
  return $status
}
