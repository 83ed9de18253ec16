#!/bin/bash
#PBS -N array
#PBS -J 1-8
#PBS -l select=1:ncpus=1
#PBS -l walltime=01:00:00
#PBS -l checkpoint=30
# Each subjob has contexts of its own and goes on by itself. 30 is an interval in minutes, as is -c w=30.
set -eu
for ((i = 1; i <= ${STEPS:-3000}; i++)); do
    echo "subjob $PBS_ARRAY_INDEX, step $i"
    sleep 1
done
