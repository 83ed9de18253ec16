/*
 * thread_leader.c - a process whose first thread has ended, while others go on.
 */
#include <pthread.h>

#include "victim.h"

static pthread_t leader;
static pid_t pid;
static _Atomic bool end;

static char leader_state(void)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", pid);
    return read_file(path, text, sizeof text) > 0 ? strrchr(text, ')')[2] : '-';
}

static void *other(void *number)
{
    pid_t tid = gettid();
    if (number) {
        while (!end)
            victim_nap();
        same("tid", gettid(), tid);
        return number;
    }
    pthread_t second;
    need(pthread_create(&second, NULL, other, &pid) == 0);
    while (leader_state() != 'Z')
        victim_nap();
    ready();
    wait_go();
    same("pid", getpid(), pid);
    same("tid", gettid(), tid);
    check(tid != pid, "tid is the pid");
    same("state of the leader", leader_state(), 'Z');
    same("threads", proc_number("/proc/self/status", "Threads"), 3);
    end = true;
    pthread_join(second, NULL);
    /* The leader's thread structure still says that it has ended. */
    same("joining the leader", pthread_join(leader, NULL), 0);
    finish();
}

int main(void)
{
    pthread_t thread;
    leader = pthread_self();
    pid = getpid();
    need(pthread_create(&thread, NULL, other, NULL) == 0);
    pthread_exit(NULL);
}
