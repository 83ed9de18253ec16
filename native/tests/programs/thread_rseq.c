/*
 * thread_rseq.c - restartable sequences: still registered for each thread, so that the kernel keeps cpu_id current.
 */
#include <pthread.h>
#include <sys/rseq.h>

#include "victim.h"

enum { THREADS = 3 };

static _Atomic int set;

static struct rseq *area(void)
{
    return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static unsigned raw_cpu(void)
{
    unsigned cpu = ~0u;
    syscall(SYS_getcpu, &cpu, NULL, NULL);
    return cpu;
}

static void *thread(void *unused)
{
    cpu_set_t allowed;
    need(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    need(area()->cpu_id < CPU_SETSIZE);
    set++;
    wait_go();
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        cpu_set_t one;
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        check(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity: %s", strerror(errno));
        same("processor", raw_cpu(), cpu);
        same("cpu_id", *(volatile uint32_t *)&area()->cpu_id, cpu);
        same("cpu_id_start", *(volatile uint32_t *)&area()->cpu_id_start, cpu);
    }
    /* The kernel says EBUSY only if exactly this is registered. */
    unsigned size = __rseq_size < 32 ? 32 : __rseq_size;
    check(syscall(SYS_rseq, area(), size, 0, RSEQ_SIG) < 0 && errno == EBUSY, "rseq(): %s", strerror(errno));
    return unused;
}

int main(void)
{
    pthread_t threads[THREADS];
    if (__rseq_size == 0)
        skip("the C library has not registered rseq");
    for (int i = 0; i < THREADS; i++)
        need(pthread_create(&threads[i], NULL, thread, NULL) == 0);
    while (set < THREADS)
        victim_nap();
    ready();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    thread(NULL);
    finish();
}
