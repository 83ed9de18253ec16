#!/bin/bash
#PBS -N preemptible
#PBS -q workq
#PBS -r y
#PBS -l select=1:ncpus=1
#PBS -l walltime=24:00:00
#PBS -l checkpoint=default
# No timer: it is saved when a job of an urgent queue takes its place, before its walltime, and when it is held.
# Without -r y (PBS's default, unless the site has another) a job may not be started again.
set -eu
for ((i = 1; i <= ${STEPS:-80000}; i++)); do
    echo "step $i on $(hostname)"
    sleep 1
done
