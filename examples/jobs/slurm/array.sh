#!/bin/bash
#SBATCH --job-name=primes
#SBATCH --array=1-3
#SBATCH --output=primes-%A-%a.out
#SBATCH --time=01:00:00
#SBATCH --checkpoint=30m
# An array: each task counts the primes below a limit of its own. Each has its own contexts, and goes on by itself.
#
#   sbatch array.sh
set -euo pipefail

limits=(0 1000000 1200000 1400000)
known=(0 78498 92938 107126)
task=$SLURM_ARRAY_TASK_ID

count=$(awk -v limit="${limits[task]}" '
    function is_prime(n, d) {
        for (d = 3; d * d <= n; d += 2)
            if (n % d == 0)
                return 0
        return 1
    }
    BEGIN {
        count = 1
        for (n = 3; n < limit; n += 2) {
            count += is_prime(n)
            if (n % 10000 == 1)
                print count " below " n > "/dev/stderr"
        }
        print count
    }')
echo "$count primes below ${limits[task]}"
[ "$count" = "${known[task]}" ] || { echo "there are ${known[task]}" >&2; exit 1; }
echo correct
