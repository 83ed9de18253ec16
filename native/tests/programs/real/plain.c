/* plain.c - no threads, no shared library: sorts growing tables. Usage: plain SCALE */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int ascending(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    int steps = 60 * (argc > 1 ? atoi(argv[1]) : 1);
    uint32_t *table = NULL, state = 1;
    size_t size = 0;

    for (int step = 0; step < steps; step++) {
        size_t wanted = 20000 + (size_t)(step % 60) * 500;
        uint32_t *grown = realloc(table, wanted * sizeof *table);
        if (!grown)
            return 1;
        table = grown;
        size = wanted;
        for (size_t i = 0; i < size; i++)
            table[i] = (state = state * 1664525 + 1013904223) ^ (i ? table[i - 1] >> 3 : 0);
        qsort(table, size, sizeof *table, ascending);
        uint64_t sum = 0;
        for (size_t i = 0; i < size; i++)
            sum = sum * 31 + table[i];
        printf("%d %016llx\n", step, (unsigned long long)sum);
        fflush(stdout);
    }
    free(table);
    puts("done");
    return 0;
}
