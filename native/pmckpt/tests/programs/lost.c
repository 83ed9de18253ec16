/* lost KIND: takes a checkpoint in inner(), and breaks the rules on the way down to it in a restore. */
#include "pmckpt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int inner(void)
{
CKPT VARS
CKPT TOPS
    ckpt_schedule();
CKPT POINT inner_a inner_here
    puts("inner");
    return 1;
CKPT BOTS
}

static int elsewhere(void)
{
CKPT VARS
CKPT TOPS
    return 0;
CKPT BOTS
}

int main(int argc, char **argv)
{
CKPT VARS
    int skip;

    /* What the rules forbid: to depend on a file that says how a restore differs. */
    skip = access("restoring", F_OK) == 0 ? argc > 1 ? argv[1][0] : 0 : 0;
    if (skip == 'e')
        exit(3);
    if (skip == 'r')
        return 3;
    if (skip == 'c')
        elsewhere();
CKPT TOPS

CKPT POINT main_a main_calls
    access("restoring", F_OK) == 0 && argc > 1 && argv[1][0] == 'o' ? elsewhere() : inner();
CKPT POINT main_b main_after
    puts("main");
    return 0;
CKPT BOTS
}
