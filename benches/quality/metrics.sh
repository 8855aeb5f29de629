#!/bin/sh
# The fixed list of metrics by which files with many of them are judged: metrics.sh FOLDER... > benches/quality/metrics.txt
#
# Up to 4 of each wide CSV file: of the metrics that take more than one value in the first 40 % of the rows (before every test part, and
# without a look at a label) those at 1/8, 3/8, 5/8 and 7/8 of their order.
set -eu
[ $# -gt 0 ] || { echo "usage: $0 FOLDER..." >&2; exit 64; }

cat <<'END'
# Up to four metrics of each file, evenly spaced among those that are not constant at its beginning.
# Made by benches/quality/metrics.sh; for agent evaluate --series.
END
find "$@" -name '*.csv' | LC_ALL=C sort | while read -r file; do
    rows=$(($(wc -l < "$file") - 1))
    awk -F, -v stem="$(basename "$file" .csv)" -v rows="$rows" '
        NR == 1 { for (i = 1; i <= NF; i++) name[i] = $i; columns = NF; next }
        NR > 1 + 0.4 * rows { exit }
        { for (i = 2; i <= columns; i++) if ($i != "") {
            if (!(i in first)) first[i] = $i
            else if ($i != first[i]) moves[i] = 1
        } }
        END {
            for (i = 2; i <= columns; i++) if ((i in moves) && name[i] != "label") pick[count++] = name[i]
            for (k = 0; k < 4; k++) {
                at = int((2 * k + 1) * count / 8)
                if (count > 0 && !(at in taken)) print stem "." pick[at]
                taken[at] = 1
            }
        }' "$file"
done
