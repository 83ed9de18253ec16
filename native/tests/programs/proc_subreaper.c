/*
 * proc_subreaper.c - a subreaper still is one: it has its adopted grandchild, and adopts another that is orphaned later.
 */
#include "victim.h"

static pid_t grandchild(const char *name, bool orphan_now)
{
    char text[32];
    pid_t reaper = getpid(), middle = fork_child();
    if (middle == 0) {
        pid_t child = fork_child();
        if (child == 0) {
            while (orphan_now && getppid() != reaper)
                victim_nap();
            mark(name);
            wait_go();
            await_mark("orphaned");
            finish();
        }
        if (!orphan_now) {
            await_mark(name);
            mark("middle");
            wait_go();
        }
        _exit(0);
    }
    if (orphan_now)
        reap(middle);
    await_mark(name);
    char path[4096], file[64];
    snprintf(file, sizeof file, "mark.%s", name);
    victim_path(path, sizeof path, file);
    need(read_file(path, text, sizeof text) > 0);
    if (!orphan_now)
        announce("middle.pid", middle);
    return (pid_t)atoi(text);
}

static pid_t parent_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    return (pid_t)proc_number(path, "PPid");
}

int main(void)
{
    int is = 0;
    char text[32] = "";
    need(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid_t adopted = grandchild("adopted", true);
    pid_t later = grandchild("later", false);
    read_file("middle.pid", text, sizeof text);
    pid_t middle = (pid_t)atoi(text);
    need(parent_of(adopted) == getpid() && parent_of(later) == middle);
    ready();
    wait_go();
    check(prctl(PR_GET_CHILD_SUBREAPER, &is) == 0 && is == 1, "no subreaper any more");
    same("parent of the adopted one", parent_of(adopted), getpid());
    reap(middle);
    same("parent of the one that was orphaned now", parent_of(later), getpid());
    mark("orphaned");
    reap(adopted);
    reap(later);
    finish();
}
