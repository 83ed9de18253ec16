#!/bin/bash
#PBS -N pipeline
#PBS -l select=1:ncpus=1
#PBS -l walltime=01:00:00
#PBS -l checkpoint=periodic
# Processes and the pipes between them are one context: no line is lost in a pipe, and none comes twice.
set -euo pipefail
seq 1 "${LINES_WANTED:-200000}" |
    while read -r n; do echo "$((n * n % 1009)) $n"; sleep 0.01; done |
    awk '{ last[$1] = $2; print NR, $1, $2; fflush() } END { for (k in last) kinds++; print kinds, "remainders" }'
