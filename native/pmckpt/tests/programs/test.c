/*
 * Prints 13 lines from three depths of calls, with a CKPT POINT after each. Interrupts (^C) schedule a checkpoint;
 * quitting (^\) ends the program, as a crash would. TEST_PAUSE_MS is the pause after each line, default 1000.
 *
 * Every line depends on variables that a checkpoint has to keep: in registers, on the stack, in data, on the heap.
 */
#include "pmckpt.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int line_number;
static long data_sum = 5;
static struct timespec line_pause = {1, 0};

static void interrupted(int signal)
{
    (void)signal;
    ckpt_schedule();
}

static void say(const char *who, long value)
{
    printf("%2d %s %ld\n", ++line_number, who, value);
    fflush(stdout);
    nanosleep(&line_pause, NULL);
}

static double sub2(int n, register long seed)
{
CKPT VARS
    register int i;
    register long a, b, c, d;
    register double x, y;
CKPT TOPS

    a = seed;
    b = seed * 3 + 1;
    c = seed ^ 0x5a;
    d = seed << 2;
    x = 0.5 * seed;
    y = 1;
    for (i = 0; i < n; i++) {
        say("sub2", a + b + c + d + (long)(100 * x) + (long)y);
CKPT POINT sub2_a sub2_said
        a += b;
        b ^= c;
        c += d >> 1;
        d += i;
        x = x / 3 + a;
        y *= 1.5;
        data_sum += a;
    }
    return x + y + (double)(a ^ b ^ c ^ d);
CKPT BOTS
}

static long sub1(char *heap, int n)
{
CKPT VARS
    register long total;
    register int i;
    char local[64];
    long seed;
    double got;
CKPT TOPS

    total = n;
    for (i = 0; i < n; i++) {
        snprintf(local, sizeof(local), "sub1 %s %d", heap, i);
        say(local, total);
CKPT POINT sub1_a sub1_said
        heap[strlen(heap) - 1]++;
        seed = total + strlen(local);
CKPT POINT sub1_b sub1_calls
        got = sub2(2, seed);
        total += (long)got % 1000;
    }
    return total;
CKPT BOTS
}

int main(int argc, char **argv)
{
CKPT VARS
    register long result;
    register int i;
    char *heap;
CKPT TOPS

    ckpt_init();
    if (getenv("TEST_PAUSE_MS")) {
        long ms = atol(getenv("TEST_PAUSE_MS"));

        line_pause = (struct timespec){ms / 1000, ms % 1000 * 1000000};
    }
    signal(SIGINT, interrupted);
    heap = malloc(100000);
    strcpy(heap, argc > 1 ? argv[1] : "a");
    result = 0;
    for (i = 1; i <= 2; i++) {
CKPT POINT main_a main_calls
        result += sub1(heap, 2);
    }
    say("main", result + data_sum);
CKPT POINT main_b main_said
    free(heap);
    return 0;
CKPT BOTS
}
