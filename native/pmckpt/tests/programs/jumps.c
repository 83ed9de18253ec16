/* Leaves functions with CKPT lines by longjmp(), writes over their frames, and takes a checkpoint afterwards. */
#include "pmckpt.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static jmp_buf back;

static void scribble(void)
{
    volatile char frame[20000];

    memset((char *)frame, 0xee, sizeof(frame));
}

static void deep(int n)
{
CKPT VARS
CKPT TOPS
    if (n < 0)
        return;
    if (n == 0)
        longjmp(back, 1);
CKPT POINT deep_a deep_calls
    deep(n - 1);
CKPT BOTS
}

static void catcher(int n)
{
    if (setjmp(back) == 0)
        deep(n);
}

static int leaf(int value)
{
CKPT VARS
    pid_t pid;
CKPT TOPS
    pid = getpid();
    ckpt_schedule();
CKPT POINT leaf_a leaf_here
    if (getpid() == pid)
        kill(pid, SIGKILL);
    return value + 1;
CKPT BOTS
}

int main(void)
{
CKPT VARS
    int value;
CKPT TOPS

    for (value = 0; value < 500; value += 100)
        catcher(value);
    scribble();
CKPT POINT main_a main_calls
    value = leaf(value);
    printf("%d\n", value);
    return 0;
CKPT BOTS
}
