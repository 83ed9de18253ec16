/*
 * proc_attributes.c - the small things of a process: dumpable, death signal, timer slack, personality, OOM score, and more.
 * Cases: attributes undumpable pdeathsig
 */
#include <sys/personality.h>

#include "victim.h"

static long file_number(const char *path)
{
    char text[64] = "";
    read_file(path, text, sizeof text);
    return strtol(text, NULL, 0);
}

static void attributes(void)
{
    int deathsig = 0;
    need(prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0);
    need(prctl(PR_SET_TIMERSLACK, 71717) == 0);
    need(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    need(personality(ADDR_NO_RANDOMIZE | UNAME26) >= 0);
    write_file("/proc/self/oom_score_adj", "345", 3);
    write_file("/proc/self/coredump_filter", "0x11", 4);
    need(prctl(PR_SET_TSC, PR_TSC_ENABLE) == 0);
    ready();
    wait_go();
    check(prctl(PR_GET_PDEATHSIG, &deathsig) == 0, "PR_GET_PDEATHSIG: %s", strerror(errno));
    same("death signal", deathsig, SIGUSR2);
    same("timer slack", prctl(PR_GET_TIMERSLACK), 71717);
    same("PR_GET_THP_DISABLE", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
    same("personality", personality(0xffffffff), ADDR_NO_RANDOMIZE | UNAME26);
    same("oom_score_adj", file_number("/proc/self/oom_score_adj"), 345);
    char text[64] = "";
    read_file("/proc/self/coredump_filter", text, sizeof text);
    same("coredump_filter", strtol(text, NULL, 16), 0x11);
    same("dumpable", prctl(PR_GET_DUMPABLE), 1);
}

/* One that an ordinary user's tools may not look into. */
static void undumpable(void)
{
    if (geteuid() != 0)
        skip("only root may look into a process that is not dumpable");
    need(prctl(PR_SET_DUMPABLE, 0) == 0);
    ready();
    wait_go();
    same("dumpable", prctl(PR_GET_DUMPABLE), 0);
}

static _Atomic bool told;

static void on_death(int signo)
{
    told = signo == SIGUSR1;
}

/* The signal comes when the parent within the scope dies after the restart. */
static void death_signal(void)
{
    signal(SIGUSR1, on_death);
    need(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid_t parent = fork_child();
    if (parent == 0) {
        parent = getpid();
        if (fork_child() == 0) {
            need(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
            mark("child");
            wait_go();
            check(!told, "the signal came too early");
            mark("looked");
            while (!told)
                victim_nap();
            check(getppid() != parent, "the signal came before the death");
            finish();
        }
        for (;;)
            pause();
    }
    await_mark("child");
    ready();
    wait_go();
    await_mark("looked");
    kill(parent, SIGKILL);
    check(waitpid(parent, NULL, 0) == parent, "waitpid: %s", strerror(errno));
    int status = -1;
    check(waitpid(-1, &status, 0) > 0 && status == 0, "the child ended with %#x", status);
}

int main(int argc, char **argv)
{
    if (is_case(argc, argv, "undumpable"))
        undumpable();
    else if (is_case(argc, argv, "pdeathsig"))
        death_signal();
    else
        attributes();
    finish();
}
