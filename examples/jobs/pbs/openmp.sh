#!/bin/bash
#PBS -N openmp
#PBS -l select=1:ncpus=2
#PBS -l walltime=01:00:00
#PBS -l 'checkpoint="long-running,interval=20m"'
# Several threads with one memory. PBS sets OMP_NUM_THREADS to the processors of the job.
# Not in $TMPDIR: MoM removes it at the end of each run, and the program is needed by the next one.
set -eu
folder=$(mktemp -d "$HOME/openmp.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > sum.c << 'END'
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    long steps = argc > 1 ? atol(argv[1]) : 2000;

    for (long step = 1; step <= steps; step++) {
        double sum = 0;
#pragma omp parallel for reduction(+ : sum)
        for (long i = 1; i < 20000000; i++)
            sum += 1.0 / ((double)i * (double)(i + step));
        printf("step %ld by %d threads: %.12f\n", step, omp_get_max_threads(), sum);
        fflush(stdout);
    }
    return 0;
}
END
gcc -O2 -fopenmp -o sum sum.c
./sum "${STEPS:-2000}"
