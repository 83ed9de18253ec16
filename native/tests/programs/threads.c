/*
 * threads.c - sixty-four threads: tids, names, thread-local memory, stacks, signal masks.
 */
#include <pthread.h>

#include "victim.h"

enum { THREADS = 64 };

static struct {
    pthread_t thread;
    _Atomic pid_t tid;
    char name[16];
    uint64_t mask;
} all[THREADS];

static _Thread_local long own = -1;
static _Thread_local char own_bytes[3000];
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int checked;

static uint64_t raw_mask(void)
{
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8);
    return mask;
}

static void *late_thread(void *unused)
{
    return unused;
}

static void *thread(void *argument)
{
    long i = (long)argument;
    char name[32], here[2000];
    uint64_t mask = victim_mix((uint64_t)i) & ~((1ULL << (SIGKILL - 1)) | (1ULL << (SIGSTOP - 1)) | (3ULL << 31));
    own = i;
    fill(own_bytes, sizeof own_bytes, (uint64_t)i);
    fill(here, sizeof here, (uint64_t)i + 500);
    snprintf(name, sizeof name, "victim (%ld) :x", i);
    memcpy(all[i].name, name, 15);
    prctl(PR_SET_NAME, name);
    need(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8) == 0);
    all[i].mask = mask;
    all[i].tid = gettid();

    /* Some nap, two spin, the most are blocked on the mutex. */
    if (i % 8 == 0)
        wait_go();
    else if (i == 1 || i == 2)
        wait_go_busy();
    pthread_mutex_lock(&hold);
    pthread_mutex_unlock(&hold);

    same("tid", gettid(), all[i].tid);
    same("mask", raw_mask(), all[i].mask);
    same("thread-local number", own, i);
    check(pthread_equal(pthread_self(), all[i].thread), "pthread_self()");
    check_pattern(own_bytes, sizeof own_bytes, (uint64_t)i);
    check_pattern(here, sizeof here, (uint64_t)i + 500);
    prctl(PR_GET_NAME, name);
    same_text("name", name, all[i].name);
    checked++;
    return (void *)(i + 1);
}

int main(void)
{
    pid_t pid = getpid();
    pthread_mutex_lock(&hold);
    for (long i = 0; i < THREADS; i++)
        need(pthread_create(&all[i].thread, NULL, thread, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        while (!all[i].tid)
            victim_nap();
    ready();
    wait_go();
    same("pid", getpid(), pid);
    same("tid of the leader", gettid(), pid);
    same("threads", proc_number("/proc/self/status", "Threads"), THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        char path[64], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%d/comm", all[i].tid);
        check(read_file(path, name, sizeof name) > 0, "%s: %s", path, strerror(errno));
        name[strcspn(name, "\n")] = '\0';
        same_text("name in /proc", name, all[i].name);
    }
    pthread_mutex_unlock(&hold);
    for (long i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(all[i].thread, &result);
        same("result", (long)result, i + 1);
    }
    same("threads that checked", checked, THREADS);
    pthread_t late;
    check(pthread_create(&late, NULL, late_thread, NULL) == 0, "no new thread");
    pthread_join(late, NULL);
    finish();
}
