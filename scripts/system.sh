#!/usr/bin/env bash
# System packages, by their Debian names: those that are missing are installed when this is root and there is apt-get;
# otherwise each is named with what it is for.
#
#   scripts/system.sh build    what building needs; exits 69 when a compiler or a library is missing
#   scripts/system.sh test     what only tests need; a missing one never fails here, the tests themselves say so
#   scripts/system.sh gpu      a Vulkan driver in software, for tests of the GPU where there is none
set -euo pipefail

# Package, a command that succeeds when it is there, what it is for.
build_parts() {
  cat <<'PARTS'
gcc|command -v gcc|librdkafka and zstd are C
g++|command -v g++|librdkafka's configure asks for it
make|command -v make|builds librdkafka
pkg-config|command -v pkg-config|finds the two libraries below
libssl-dev|pkg-config --exists openssl|TLS to brokers
zlib1g-dev|pkg-config --exists zlib|gzip in Kafka batches
PARTS
}
test_parts() {
  cat <<'PARTS'
kcat|command -v kcat|a Kafka client that is not ours
default-jre-headless|command -v java|runs the real Kafka of the tests
maven|command -v mvn|fetches the real Kafka of the tests
PARTS
}
gpu_parts() {
  cat <<'PARTS'
mesa-vulkan-drivers|test "$(find /usr/share/vulkan /etc/vulkan -path '*icd.d/*.json')"|runs the kernels of training, slowly
PARTS
}

case "${1:-} $#" in
'build 1') parts=$(build_parts) ;;
'test 1') parts=$(test_parts) ;;
'gpu 1') parts=$(gpu_parts) ;;
*)
  sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 64
  ;;
esac

missing() {
  while IFS='|' read -r package probe purpose; do
    sh -c "$probe" >/dev/null 2>&1 || echo "$package|$purpose"
  done <<<"$parts"
}

wanted=$(missing | cut -d'|' -f1 | tr '\n' ' ')
if [ -n "$wanted" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "system: installing $wanted"
  install() {
    # Words of one line on purpose: package names hold no blanks.
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted
  }
  # The lists of a fresh machine are empty or stale; one update cures both.
  log=$(mktemp)
  { install || { apt-get update -qq && install; }; } >"$log" 2>&1 || tail -n 5 "$log" >&2
  rm -f "$log"
fi

absent=$(missing)
if [ -z "$absent" ]; then
  exit 0
fi
while IFS='|' read -r package purpose; do
  echo "system: $package is missing ($purpose); on Debian: apt-get install $package" >&2
done <<<"$absent"
if [ "$1" = build ]; then
  exit 69
fi
