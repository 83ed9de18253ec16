#!/bin/bash
#SBATCH --job-name=pipeline
#SBATCH --time=01:00:00
#SBATCH --checkpoint=30m
# Five programs joined by pipes, with data in every one of them at each moment.
#
#   sbatch pipeline.sh [NUMBERS]
#
# Numbers are scrambled, put through two filters, sorted and packed; what is unpacked has to be all of them, in order.
set -euo pipefail

numbers=${1:-3000000}
packed=pipeline-$SLURM_JOB_ID.gz

seq 1 "$numbers" |
    awk -v n="$numbers" '{ print ($1 * 7919) % n, $1; if ($1 % 20000 == 0) print $1, "sent" > "/dev/stderr" }' |
    sed -e 's/ /\t/' |
    sort -n --buffer-size=16M --parallel=1 |
    gzip > "$packed"

gzip -dc "$packed" | awk -v n="$numbers" '
    $1 != NR - 1 { print "line " NR " is " $0; wrong = 1; exit }
    { sum += $2 }
    END { exit wrong || NR != n || sum != n * (n + 1) / 2 }'
rm "$packed"
echo correct
