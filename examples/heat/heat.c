/*
 * heat.c - how heat spreads in a plate: two million numbers, two threads, a line of output after every 20 steps.
 *
 *     heat STEPS
 *
 * It knows nothing of checkpoints. Each line depends on all that was computed before it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 1400, REPORT = 20 };

static double plate[2][SIDE][SIDE];

static double center(double (*field)[SIDE])
{
    return field[SIDE / 2][SIDE / 2];
}

/* FNV-1a over every bit of the field. */
static unsigned long long fingerprint(double (*field)[SIDE])
{
    unsigned long long hash = 14695981039346656037ull, bits;
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            memcpy(&bits, &field[y][x], sizeof bits);
            hash = (hash ^ bits) * 1099511628211ull;
        }
    }
    return hash;
}

static void spread(double (*from)[SIDE], double (*to)[SIDE])
{
#pragma omp parallel for schedule(static) num_threads(2)
    for (int y = 1; y < SIDE - 1; y++)
        for (int x = 1; x < SIDE - 1; x++)
            to[y][x] =
                from[y][x] + 0.2 * (from[y - 1][x] + from[y + 1][x] + from[y][x - 1] + from[y][x + 1] - 4 * from[y][x]);
}

int main(int argc, char **argv)
{
    long steps = argc > 1 ? strtol(argv[1], NULL, 10) : 1000;

    /* A hot square near the middle, so that the middle has something to tell from the start. */
    for (int y = SIDE / 2 - 10; y < SIDE / 2 + 40; y++)
        for (int x = SIDE / 2 - 10; x < SIDE / 2 + 40; x++)
            plate[0][y][x] = 1000;
    for (long step = 1; step <= steps; step++) {
        double(*now)[SIDE] = plate[step % 2];
        spread(plate[(step + 1) % 2], now);
        if (step % REPORT == 0) {
            printf("step %6ld  center %12.6f  fingerprint %016llx\n", step, center(now), fingerprint(now));
            fflush(stdout);
        }
    }
    puts("done");
    return 0;
}
