/*
 * cpu_bases.c - the bases of the FS and GS segments of several threads.
 */
#include <asm/prctl.h>
#include <pthread.h>

#include "victim.h"

enum { THREADS = 4 };

static uint64_t areas[THREADS][8];
static _Atomic int set;

static uint64_t read_gs(void)
{
    uint64_t value;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(value));
    return value;
}

static void *thread(void *argument)
{
    long i = (long)argument;
    uint64_t fs = 0, fs_now = 0, gs_now = 0;
    areas[i][0] = 1000 + (uint64_t)i;
    need(syscall(SYS_arch_prctl, ARCH_SET_GS, areas[i]) == 0);
    need(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs) == 0);
    need(read_gs() == 1000 + (uint64_t)i);
    set++;
    wait_go();
    check(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs_now) == 0, "ARCH_GET_GS: %s", strerror(errno));
    check(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_now) == 0, "ARCH_GET_FS: %s", strerror(errno));
    same("GS base", gs_now, (uintptr_t)areas[i]);
    same("FS base", fs_now, fs);
    same("FS base and pthread_self()", fs_now, pthread_self());
    same("memory at GS", read_gs(), 1000 + i);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        need(pthread_create(&threads[i], NULL, thread, (void *)i) == 0);
    while (set < THREADS)
        victim_nap();
    ready();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    finish();
}
