/* Writes 20 bytes, takes a checkpoint; then 50 bytes and dies, or, restored, only 30. */
#include "pmckpt.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
CKPT VARS
    pid_t pid;
CKPT TOPS

    printf("%-19s\n", "first");
    fflush(stdout);
    pid = getpid();
    ckpt_schedule();
CKPT POINT main_a main_here
    if (getpid() == pid) {
        printf("%-49s\n", "never");
        fflush(stdout);
        kill(pid, SIGKILL);
    }
    printf("%-29s\n", "second");
    return 0;
CKPT BOTS
}
