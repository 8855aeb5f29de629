#!/usr/bin/env bash
# What TadGAN's training costs here and in Orion: CPU seconds of the whole process, the same file, the same number of
# generator steps, the same machine, one run after the other, three seeds.
#
#   benches/orion/compare.sh FILE INTERVAL_SECONDS [EPOCHS]
#
# FILE is a CSV with the columns timestamp and value and enough rows for Orion to train at all (420); Orion's EPOCHS
# (1) say how many generator steps all of them make. Set in the environment, if wanted:
#   PYTHON      a Python that Orion supports, 3.9 to 3.11 (python3.11)
#   ORION_VENV  where Orion is or gets installed, about 8 GB (target/orion/venv)
#   TRAIN       a release build of `train` instead of one made now
set -euo pipefail

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
  exit 2
fi
file=$(realpath "$1") interval=$2 epochs=${3:-1}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=${CARGO_TARGET_DIR:-target}
out=$target/orion
venv=${ORION_VENV:-$out/venv}
seeds="1 2 3"
nets="paper conv small"
mkdir -p "$out"
results=$out/results.tsv
: >"$results"

if ! "$venv/bin/python" -c 'import orion' 2>/dev/null; then
  "${PYTHON:-python3.11}" -m venv "$venv"
  "$venv/bin/pip" install --quiet orion-ml==0.7.1 scikit-learn==1.5.2
fi
train=${TRAIN:-}
if [ -z "$train" ]; then
  cargo build --locked --release -p training --bin train
  train=$target/release/train
fi

# Runs a command, keeps what it says in a log, and adds its CPU and wall seconds to the results.
measure() { # NAME SEED COMMAND…
  local name=$1 seed=$2 log=$out/$1-$2.log times TIMEFORMAT='%U %S %R'
  shift 2
  if ! times=$({ time "$@" >"$log" 2>&1; } 2>&1); then
    tail -n 20 "$log" >&2
    echo "compare: $name failed with seed $seed; all of it in $log" >&2
    exit 1
  fi
  echo "$name $seed $times" | awk '{ printf "%s\t%s\t%.2f\t%.2f\n", $1, $2, $3 + $4, $5 }' | tee -a "$results"
}

field() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" "$2" | tail -n 1; } # NAME LOG

printf 'net\tseed\tCPU s\twall s\n'
for seed in $seeds; do
  measure orion "$seed" "$venv/bin/python" benches/orion/train.py "$file" \
    --interval "$interval" --epochs "$epochs" --seed "$seed"
  steps=$(field steps "$out/orion-$seed.log")
  for net in $nets; do
    # No warm-up and no patience: all make exactly these steps, each with its five steps of each critic.
    measure "$net" "$seed" "$train" tadgan --file "$file" --interval "${interval}s" --arch "$net" --steps "$steps" \
      --warm-up 0 --patience 0 --accept-poor --seed "$seed" --out "$out/$net-$seed"
    if ! grep -q ": $steps steps in " "$out/$net-$seed.log"; then
      echo "compare: $net did not make $steps steps; see $out/$net-$seed.log" >&2
      exit 1
    fi
  done
done

sorted() { awk -v name="$1" '$1 == name { print $3 }' "$results" | sort -n | xargs; }
read -r orion_min orion_median _ <<<"$(sorted orion)"

echo
echo "$steps generator steps a run; Orion computes in $(field dtype "$out/orion-1.log"), \`train\` in float32;" \
  "of Orion's CPU seconds with seed 1, $(field fit "$out/orion-1.log") are its fit and the rest its imports"
echo
echo "| net | CPU s, least | median | most | Orion's over ours, medians | Orion's least over our most |"
echo "|---|---|---|---|---|---|"
for net in orion $nets; do
  read -r min median max <<<"$(sorted "$net")"
  awk -v net="$net" -v min="$min" -v median="$median" -v max="$max" -v least="$orion_min" -v middle="$orion_median" \
    'BEGIN { printf "| %s | %.2f | %.2f | %.2f | ", net, min, median, max
             if (net == "orion") print "| |"; else printf "%.1f | %.1f |\n", middle / median, least / max }'
done
