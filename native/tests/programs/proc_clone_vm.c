/*
 * proc_clone_vm.c - a process that shares the memory of another without being a thread of it: refused by name, and unharmed.
 * Driver: expect=refuse
 */
#include "victim.h"

static volatile int told;

static int child(void *unused)
{
    (void)unused;
    wait_go();
    told = 7;
    return 0;
}

int main(void)
{
    unsigned char *stack = map_memory(1 << 20, MAP_PRIVATE);
    pid_t pid = clone(child, stack + (1 << 20), CLONE_VM | SIGCHLD, NULL);
    need(pid > 0);
    ready();
    wait_go();
    reap(pid);
    same("what the child wrote into our memory", told, 7);
    finish();
}
