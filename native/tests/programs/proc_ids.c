/*
 * proc_ids.c - a tree of three levels: pids, parents, groups and sessions of each.
 */
#include "victim.h"

enum { CHILDREN = 3 };

static int level;

struct ids {
    pid_t pid, ppid, pgid, sid, tid;
};

static struct ids ids(void)
{
    return (struct ids){getpid(), getppid(), getpgid(0), getsid(0), gettid()};
}

static void compare(const struct ids *was, const char *who)
{
    struct ids is = ids();
    check(is.pid == was->pid, "%s: pid is %d, was %d", who, is.pid, was->pid);
    check(is.tid == was->tid, "%s: tid is %d, was %d", who, is.tid, was->tid);
    check(is.pgid == was->pgid, "%s: group is %d, was %d", who, is.pgid, was->pgid);
    check(is.sid == was->sid, "%s: session is %d, was %d", who, is.sid, was->sid);
    if (level > 0)
        check(is.ppid == was->ppid, "%s: parent is %d, was %d", who, is.ppid, was->ppid);
}

/* A child of each kind: in the parent's group, in a group of its own, in a session of its own, in its elder's group. */
static void grow(const char *name)
{
    pid_t pids[CHILDREN + 1];
    char mine[64];
    for (int i = 0; i <= CHILDREN && level < 2; i++) {
        if ((pids[i] = fork_child()) == 0) {
            level++;
            snprintf(mine, sizeof mine, "%s.%d", name, i);
            if (i == 1)
                need(setpgid(0, 0) == 0);
            else if (i == 2)
                need(setsid() > 0);
            else if (i == 3)
                need(setpgid(0, pids[1]) == 0);
            grow(mine);
            finish();
        }
        /* The elder is there before a younger one joins its group. */
        snprintf(mine, sizeof mine, "%s.%d", name, i);
        await_mark(mine);
    }
    struct ids was = ids();
    if (level > 0) {
        mark(name);
    } else {
        ready();
    }
    wait_go();
    compare(&was, name);
    for (int i = 0; i <= CHILDREN && level < 2; i++)
        reap(pids[i]);
}

int main(void)
{
    grow("root");
    finish();
}
