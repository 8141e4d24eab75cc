# Sourced by the probes, which run in a pod of an engine's image with sh.

FAILED=0

# shows WHAT LINES COMMAND...: runs it, prints its first lines and how it ended. What should work and does not is
# counted.
shows() {
  what=$1 lines=$2
  shift 2
  output=$("$@" 2>&1)
  status=$?
  echo "== $what: exit code $status"
  echo "$output" | head -n "$lines"
  [ $status = 0 ] || FAILED=$((FAILED + 1))
}

# fails WHAT PATTERN COMMAND...: runs what cannot work without a driver; prints the line that says why.
fails() {
  what=$1 pattern=$2
  shift 2
  output=$("$@" 2>&1)
  status=$?
  echo "== $what: exit code $status"
  if [ $status = 0 ] || ! echo "$output" | grep -E "$pattern" | tail -n 1; then
    echo "$output" | tail -n 5
    FAILED=$((FAILED + 1))
  fi
}

# pretending COMMAND...: beside the stand-ins of the driver's libraries.
pretending() { LD_LIBRARY_PATH=/probe "$@"; }

finish() {
  echo "== $FAILED failed"
  exit $((FAILED > 0))
}
