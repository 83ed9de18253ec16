/*
 * proc_orphan.c - processes of the job whose parents are gone: an orphan of init, and a session without its leader.
 * Cases: orphan session
 * Driver: scope=job
 */
#include "victim.h"

static void orphan(pid_t old_parent, bool leaderless)
{
    char number[32];
    while (getppid() == old_parent)
        victim_nap();
    pid_t parent = getppid(), session = getsid(0), group = getpgid(0);
    need(!leaderless || session == old_parent);
    mark("orphan");
    wait_go();
    same("session", getsid(0), session);
    same("group", getpgid(0), group);
    /* Without a pid namespace the reaper of the host or of the batch system takes it. */
    check(getppid() == parent || parent != 1, "the parent is %d, was %d", getppid(), parent);
    snprintf(number, sizeof number, "/proc/%d", old_parent);
    check(access(number, F_OK) < 0, "the dead parent is back");
    announce("verdict.orphan", victim_failures);
    finish();
}

int main(int argc, char **argv)
{
    bool session = is_case(argc, argv, "session");
    char text[32] = "";
    pid_t middle = fork_child();
    if (middle == 0) {
        if (session)
            need(setsid() > 0);
        pid_t parent = getpid();
        if (fork_child() == 0)
            orphan(parent, session);
        _exit(0);
    }
    reap(middle);
    await_mark("orphan");
    ready();
    wait_go();
    while (!is_there("verdict.orphan"))
        victim_nap();
    read_file("verdict.orphan", text, sizeof text);
    same_text("failures of the orphan", text, "0\n");
    finish();
}
