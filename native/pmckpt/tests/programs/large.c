/*
 * large MIB: fills that much memory, takes a checkpoint, prints "small", then takes one of all after each line that
 * it reads, and prints "large".
 */
#include "pmckpt.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
CKPT VARS
    size_t bytes, i;
    unsigned char *memory;
    char line[16];
CKPT TOPS

    ckpt_init();
    ckpt_schedule();
CKPT POINT main_a main_small
    puts("small");
    fflush(stdout);
    bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1) << 20;
    memory = malloc(bytes);
    for (i = 0; i < bytes; i++)
        memory[i] = i >> 12 | 1;
    while (fgets(line, sizeof(line), stdin)) {
        ckpt_schedule();
CKPT POINT main_b main_large
        puts("large");
        fflush(stdout);
    }
    puts("end");
    return memory[bytes - 1] == (unsigned char)((bytes - 1) >> 12 | 1) ? 0 : 1;
CKPT BOTS
}
