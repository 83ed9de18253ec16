/* openmp.c - heat in a plate, by all threads of an OpenMP team. Usage: openmp SCALE */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of <omp.h>, which only the compiler that has an OpenMP runtime brings along; clang-tidy is another. */
int omp_get_max_threads(void);

enum { SIDE = 512 };

static double plate[2][SIDE][SIDE];

static uint64_t checksum(double field[SIDE][SIDE])
{
    uint64_t sum = 0;
    /* Whole numbers: their sum does not depend on which thread is first. */
#pragma omp parallel for schedule(static) reduction(+ : sum)
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            uint64_t bits;
            memcpy(&bits, &field[y][x], sizeof bits);
            sum += bits * (uint64_t)(y * SIDE + x + 1);
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    int steps = 500 * (argc > 1 ? atoi(argv[1]) : 1);

    for (int y = 0; y < SIDE; y++)
        plate[0][y][0] = plate[1][y][0] = y;
    for (int step = 0; step < steps; step++) {
        double(*from)[SIDE] = plate[step % 2];
        double(*to)[SIDE] = plate[1 - step % 2];
#pragma omp parallel for schedule(static)
        for (int y = 1; y < SIDE - 1; y++)
            for (int x = 1; x < SIDE - 1; x++)
                to[y][x] = 0.25 * (from[y - 1][x] + from[y + 1][x] + from[y][x - 1] + from[y][x + 1]);
        if (step % 25 == 0) {
            printf("%d %016llx\n", step, (unsigned long long)checksum(to));
            fflush(stdout);
        }
    }
    printf("done with %d threads\n", omp_get_max_threads());
    return 0;
}
