#!/usr/bin/env bash
# A week of requests a second, one sample each five minutes, with two faults; and the labels that say where they are.
#
#   scripts/example.sh DIR     writes DIR/requests.csv and DIR/labels.json
set -euo pipefail
[ $# = 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 64; }
mkdir -p "$1"
awk 'BEGIN {
  x = 1; pi = atan2(0, -1)
  print "timestamp,value"
  for (i = 0; i < 2016; i++) {
    noise = 0
    # Twelve uniform draws make a normal one; the generator is written out, so that every awk draws the same.
    for (k = 0; k < 12; k++) { x = (x * 16807) % 2147483647; noise += x / 2147483647 - 0.5 }
    value = 420 + 180 * sin(2 * pi * (i % 288) / 288 - 1.9) + 60 * sin(4 * pi * (i % 288) / 288) + 14 * noise
    if (i >= 1290 && i < 1302) value *= 0.35
    if (i >= 1745 && i < 1752) value += 330
    printf "%d,%.3f\n", 1767225600 + 300 * i, value
  }
}' >"$1/requests.csv"
cat >"$1/labels.json" <<'LABELS'
{"requests.csv": [["2026-01-05 11:20:00", "2026-01-05 13:00:00"], ["2026-01-07 01:15:00", "2026-01-07 02:30:00"]]}
LABELS
