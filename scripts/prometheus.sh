#!/usr/bin/env bash
# Prometheus and its promtool, for the tests of the rules in deploy/.
#
#   scripts/prometheus.sh fetch    puts both into .deps/prometheus, unless they are installed: taken out of Debian's
#                                  package, of which nothing is installed
#   scripts/prometheus.sh path     prints the directory that holds both, or exits 3
#
# Exit codes: 64 usage, 69 they cannot be had here.
set -euo pipefail

deps=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.deps/prometheus

usage() { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64; }
fail() { echo "prometheus.sh: $*" >&2; exit 69; }

path() {
  if [ -x "$deps/promtool" ] && [ -x "$deps/prometheus" ]; then
    echo "$deps"
  elif command -v promtool >/dev/null && command -v prometheus >/dev/null; then
    dirname "$(command -v promtool)"
  else
    return 3
  fi
}

fetch() {
  path >/dev/null && return
  local work
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    fail "prometheus and promtool are missing, and this is no Debian: install them"
  fi
  mkdir -p "$deps"
  exec 9>"$deps/lock"
  flock 9
  path >/dev/null && return
  work=$(mktemp -d "$deps/fetch.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  cd "$work"
  # The lists of a fresh machine are empty or stale; one update cures both.
  if ! apt-get download -q prometheus >log 2>&1; then
    { apt-get update -qq && apt-get download -q prometheus; } >log 2>&1 ||
      fail "apt-get cannot fetch prometheus: $(tail -n 1 log)"
  fi
  dpkg-deb -x prometheus_*.deb .
  mv usr/bin/prometheus usr/bin/promtool "$deps"
}

case "${1:-} $#" in
  'fetch 1') fetch ;;
  'path 1') path ;;
  *) usage ;;
esac
