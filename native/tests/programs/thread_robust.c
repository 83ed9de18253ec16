/*
 * thread_robust.c - robust mutexes: the kernel still finds those of a thread, and of a process, that ends while it owns them.
 * Cases: thread process
 */
#include <linux/futex.h>
#include <pthread.h>

#include "victim.h"

static pthread_mutex_t *mutexes;
static _Atomic bool held;

static void *owner(void *unused)
{
    void *head = NULL, *now = NULL;
    size_t size = 0;
    for (int i = 0; i < 3; i++)
        need(pthread_mutex_lock(&mutexes[i]) == 0);
    need(syscall(SYS_get_robust_list, 0, &head, &size) == 0 && head);
    held = true;
    wait_go();
    check(syscall(SYS_get_robust_list, 0, &now, &size) == 0, "get_robust_list: %s", strerror(errno));
    same("robust list", (uintptr_t)now, (uintptr_t)head);
    return unused;
}

int main(int argc, char **argv)
{
    bool process = is_case(argc, argv, "process");
    pthread_mutexattr_t attr;
    pthread_t thread;
    pid_t pid = 0;

    mutexes = map_memory(PAGE, MAP_SHARED);
    need(pthread_mutexattr_init(&attr) == 0);
    need(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
    need(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
    for (int i = 0; i < 3; i++)
        need(pthread_mutex_init(&mutexes[i], &attr) == 0);
    if (process && (pid = fork_child()) == 0) {
        for (int i = 0; i < 3; i++)
            need(pthread_mutex_lock(&mutexes[i]) == 0);
        mark("held");
        for (;;)
            pause();
    }
    if (process) {
        await_mark("held");
    } else {
        need(pthread_create(&thread, NULL, owner, NULL) == 0);
        while (!held)
            victim_nap();
    }
    need(pthread_mutex_trylock(&mutexes[0]) == EBUSY);
    ready();
    wait_go();
    if (process)
        kill(pid, SIGKILL);
    for (int i = 0; i < 3; i++) {
        struct timespec limit = to_timespec(now_ns(CLOCK_REALTIME) + 10LL * 1000000000);
        same("locking after the owner died", pthread_mutex_timedlock(&mutexes[i], &limit), EOWNERDEAD);
    }
    if (process)
        waitpid(pid, NULL, 0);
    else
        pthread_join(thread, NULL);
    finish();
}
