#!/bin/bash
#SBATCH --job-name=collatz
#SBATCH --partition=low
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --time=04:00:00
#SBATCH --checkpoint=preempt-only
# For a partition whose jobs have to make room for others at any time: no timer, a checkpoint when that happens. The
# three lines above make Slurm queue the job again and add to its output; sites may set them for everybody.
#
#   sbatch preemptible.sh [LIMIT]
#
# Which number below LIMIT takes the most steps to 1, if even ones are halved and odd ones go to 3n + 1?
set -euo pipefail

limit=${1:-1000000}
declare -A known=([100000]="77031 350" [300000]="230631 442" [1000000]="837799 524")

answer=$(awk -v limit="$limit" '
    BEGIN {
        for (start = 1; start < limit; start++) {
            steps = 0
            for (n = start; n != 1; steps++)
                n = n % 2 ? 3 * n + 1 : n / 2
            if (steps > most) {
                most = steps
                best = start
            }
            if (start % 1000 == 0)
                print start ": " best " " most > "/dev/stderr"
        }
        print best, most
    }')
echo "below $limit: $answer"
[ "$answer" = "${known[$limit]:-}" ] || { echo "should be ${known[$limit]:-one of: ${known[*]}}" >&2; exit 1; }
echo correct
