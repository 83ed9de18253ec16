#!/bin/bash
#SBATCH --job-name=heat
#SBATCH --cpus-per-task=2
#SBATCH --time=01:00:00
#SBATCH --checkpoint=30m
# Heat in a plate, computed by two threads of a program that the job compiles. From this folder:
#
#   sbatch openmp.sh [STEPS]
#
# Each number depends on all that was computed before; the fingerprint of the end is checked.
set -euo pipefail

steps=${1:-4000}
declare -A known=([400]=5ae31d83f8ac3b4d [1000]=d75901c49d88af2a [4000]=4b41ea14c613911e)

program=$(mktemp -d)
trap 'rm -rf "$program"' EXIT
gcc -O2 -ffp-contract=off -fopenmp -o "$program/heat" "${HEAT_SOURCE:-../../heat/heat.c}"
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-2}
"$program/heat" "$steps" | tee "heat-$SLURM_JOB_ID.txt"
last=$(grep fingerprint "heat-$SLURM_JOB_ID.txt" | tail -n 1 | awk '{ print $NF }')
if [ "$last" != "${known[$steps]:-unknown}" ]; then
    echo "the fingerprint after $steps steps should be ${known[$steps]:-one of: ${known[*]}}" >&2
    exit 1
fi
echo correct
