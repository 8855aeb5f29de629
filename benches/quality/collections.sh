#!/usr/bin/env bash
# Measures the agent and what it is held against on every collection of the reference data:
#   benches/quality/collections.sh OUT [--all] [OPTION of agent evaluate]...
# Reads $AGENT_REFERENCE_DATA: nab/ as it lies there, packs/*.tar.gz unpacked to a temporary folder. Leaves in OUT a table (.txt) and the
# document (.json) of each collection, and summary.md of all of them. Files of many metrics are judged by the four of
# benches/quality/metrics.txt, with --all by every one, after the cuts of packs/manifest.json. AGENT names the binary
# [target/release/agent], COLLECTIONS what is measured [all].
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
agent=${AGENT:-$root/target/release/agent}
data=${AGENT_REFERENCE_DATA:?set it to the folder with the reference data}
if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then
  echo "usage: $0 OUT [--all] [OPTION of agent evaluate]..." >&2
  exit 64
fi
out=$1
shift
wide=(--series "$root/benches/quality/metrics.txt")
if [ "${1:-}" = --all ]; then
  wide=()
  shift
fi

mkdir -p "$out"
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
cuts=(--test-start "$data/packs/manifest.json")
for name in ${COLLECTIONS:-nab mscloud smd asd nasa jumpstarter}; do
  folder=$unpacked/$name
  case $name in
  nab)
    folder=$data/nab
    own=()
    ;;
  mscloud) own=() ;;
  nasa) own=("${cuts[@]}") ;;
  *) own=("${cuts[@]}" ${wide[@]+"${wide[@]}"}) ;;
  esac
  [ "$name" = nab ] || tar xzf "$data/packs/$name.tar.gz" -C "$unpacked"
  echo "$name" >&2
  "$agent" evaluate --data "$folder" --labels "$folder/labels.json" --out "$out/$name.json" \
    ${own[@]+"${own[@]}"} "$@" >"$out/$name.txt"
done

python3 - "$out" ${COLLECTIONS:-nab mscloud smd asd nasa jumpstarter} >"$out/summary.md" <<'END'
"""One table a measure: detectors by collection; the best of each collection is bold."""
import json
import sys

out, *names = sys.argv[1:]
documents = {name: json.load(open(f"{out}/{name}.json")) for name in names}
measures = {
    "VUS-PR": (lambda m: m.get("vus_pr"), 3),
    "Overlap F1": (lambda m: m["overlap"].get("f1"), 3),
    "Length-weighted F1": (lambda m: m["weighted"].get("f1"), 3),
    "NAB score, standard, best threshold": (lambda m: m["nab"]["standard"].get("best"), 1),
    "NAB score, standard, at 1": (lambda m: m["nab"]["standard"].get("at_boundary"), 1),
    "Alerts a day and series": (lambda m: m["alerts"].get("a_day"), 3),
    "Share of time in alert": (lambda m: m["alerts"].get("time_in_alert"), 4),
}
detectors = [d["name"] for d in documents[names[0]]["detectors"]]
for title, (get, digits) in measures.items():
    print(f"## {title}\n\n| | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    rows = {d: [] for d in detectors}
    for name in names:
        for d in documents[name]["detectors"]:
            rows[d["name"]].append(get(d["total"]))
    graded = "F1" in title or "score" in title or "VUS" in title
    best = [max((v for v in column if v is not None), default=None) for column in zip(*rows.values())]
    for d, row in rows.items():
        cells = ["-" if v is None else f"{v:.{digits}f}" for v in row]
        cells = [f"**{c}**" if graded and v is not None and v == b else c for c, v, b in zip(cells, row, best)]
        print(f"| {d} | {' | '.join(cells)} |")
    print()
END
cat "$out/summary.md"
