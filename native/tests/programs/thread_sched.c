/*
 * thread_sched.c - what the scheduler knows of each thread: affinity, policy, priority, nice, I/O priority, timer slack.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "victim.h"

enum { THREADS = 7, IOPRIO_BEST_EFFORT = 2 << 13, IOPRIO_IDLE = 3 << 13 };

static struct {
    pthread_t thread;
    int policy, priority, nice;
    bool reset_on_fork, one_cpu, refused;
    int io;
    long slack;
} all[THREADS] = {
    {.policy = SCHED_OTHER, .nice = 0, .slack = 50000},
    {.policy = SCHED_OTHER, .nice = 5, .one_cpu = true, .slack = 123456, .io = IOPRIO_BEST_EFFORT | 6},
    {.policy = SCHED_BATCH, .nice = 11, .slack = 50000},
    {.policy = SCHED_IDLE, .nice = 19, .one_cpu = true, .slack = 1, .io = IOPRIO_IDLE | 7},
    {.policy = SCHED_OTHER, .nice = 2, .reset_on_fork = true, .slack = 50000},
    {.policy = SCHED_RR, .priority = 7, .slack = 50000},
    {.policy = SCHED_FIFO, .priority = 3, .reset_on_fork = true, .one_cpu = true, .slack = 50000},
};

static _Atomic int set;

static void *thread(void *argument)
{
    long i = (long)argument;
    cpu_set_t cpus, now;
    struct sched_param param = {.sched_priority = all[i].priority};
    int flags = all[i].reset_on_fork ? SCHED_RESET_ON_FORK : 0;

    need(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
    for (int cpu = 0, seen = 0; all[i].one_cpu && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &cpus) && seen++)
            CPU_CLR(cpu, &cpus);
    need(sched_setaffinity(0, sizeof cpus, &cpus) == 0);
    if (sched_setscheduler(0, all[i].policy | flags, &param) < 0) {
        need(errno == EPERM && all[i].priority);
        all[i].refused = true;
    } else if (!all[i].priority) {
        need(setpriority(PRIO_PROCESS, 0, all[i].nice) == 0);
    }
    need(!all[i].io || syscall(SYS_ioprio_set, 1, 0, all[i].io) == 0);
    need(prctl(PR_SET_TIMERSLACK, all[i].slack) == 0);
    int io = (int)syscall(SYS_ioprio_get, 1, 0);
    int policy = sched_getscheduler(0);
    long slack = prctl(PR_GET_TIMERSLACK);
    set++;
    wait_go();

    check(sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &cpus), "affinity of thread %ld", i);
    same("policy", sched_getscheduler(0), policy);
    sched_getparam(0, &param);
    same("priority", param.sched_priority, all[i].refused ? 0 : all[i].priority);
    errno = 0;
    same("nice", getpriority(PRIO_PROCESS, 0), all[i].nice);
    same("I/O priority", syscall(SYS_ioprio_get, 1, 0), io);
    same("timer slack", prctl(PR_GET_TIMERSLACK), slack);
    return NULL;
}

int main(void)
{
    for (long i = 0; i < THREADS; i++)
        need(pthread_create(&all[i].thread, NULL, thread, (void *)i) == 0);
    while (set < THREADS)
        victim_nap();
    ready();
    for (int i = 0; i < THREADS; i++)
        pthread_join(all[i].thread, NULL);
    finish();
}
