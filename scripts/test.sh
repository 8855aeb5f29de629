#!/usr/bin/env bash
# Everything that must hold before a change lands. On a terminal the tools speak for themselves; otherwise each step
# writes a log under target/checks/ and only a failing one shows its end, so that the output of CI stays readable.
#
# One profile throughout: clippy and the documents share check metadata, tests and benches share one build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

logs=${CARGO_TARGET_DIR:-target}/checks
mkdir -p "$logs"
lines_shown=80

# What failing tests printed, and their names last. The end of the log will not do: tests that passed come after them.
failures() { # LOG
  grep -q '^test .* \.\.\. FAILED$' "$1" || return
  awk '/^failures:$/ { inside = 1 } inside; /^test result:/ { inside = 0 }' "$1" | tail -n "$lines_shown"
  grep -h '^test .* \.\.\. FAILED$' "$1"
}

step() { # NAME COMMAND…
  local name=$1 log=$logs/$1.log started=$SECONDS status=0
  shift
  if [ -t 1 ]; then
    echo "== $name"
    "$@" 2>&1 | tee "$log" || status=$?
  else
    "$@" >"$log" 2>&1 || status=$?
  fi
  if [ "$status" != 0 ]; then
    failures "$log" || [ -t 1 ] || tail -n "$lines_shown" "$log"
    echo "FAILED: $name after $((SECONDS - started)) s; all of it in $log"
    exit "$status"
  fi
  echo "ok: $name, $((SECONDS - started)) s"
}

# Also what is behind features and not built here, so that its licences are checked.
fetch() { cargo fetch --locked --target "$(rustc -vV | sed -n 's/^host: //p')"; }

documents() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps; }

# Output of passing tests is wanted too: that is where a test says why it did not run.
tests() { cargo test --locked --workspace --no-fail-fast --all-targets -- --show-output; }

# Separate from the rest, because --all-targets leaves them out.
doctests() { cargo test --locked --workspace --doc; }

prometheus() {
  scripts/prometheus.sh fetch && return
  [ "${CI:-}" != true ]
}

kafka() {
  scripts/kafka.sh fetch && return
  # The tests that need it say so again; with CI=true they fail.
  [ "${CI:-}" != true ]
}

step fetch fetch
step format cargo fmt --all --check
step kafka kafka
step prometheus prometheus
step clippy cargo clippy --locked --workspace --all-targets -- -D warnings
# Without the features that only the agent switches on, the heart must build as well.
step heart cargo check --locked -p pipeline
step documents documents
step tests tests
step doctests doctests
if command -v cargo-deny >/dev/null; then
  # Not on a bare machine, and too slow to build there; tests/repository.rs checks licences and sources without it.
  step deny cargo deny --all-features check
fi

skipped=$(grep -h 'SKIPPED:' "$logs/tests.log" | sort | uniq -c || true)
if [ -n "$skipped" ]; then
  echo "Not run, with how often it was said and why:"
  echo "$skipped"
fi
grep -h '^test result:' "$logs/tests.log" "$logs/doctests.log" |
  awk '{ passed += $4; failed += $6; ignored += $8 } END { printf "tests: %d passed, %d failed, %d skipped\n", passed, failed, ignored }'
