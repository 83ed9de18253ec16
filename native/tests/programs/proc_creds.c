/*
 * proc_creds.c - who a process is: uids, gids, groups, capabilities, secure bits, no_new_privs.
 * Cases: own changed capabilities no_new_privs
 */
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>

#include "victim.h"

static const char *const keys[] = {"Uid",    "Gid",    "Groups", "CapInh",     "CapPrm",
                                   "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"};
enum { N = sizeof keys / sizeof *keys };

static void compare_after_go(void)
{
    static char was[N][512], now[512];
    for (int i = 0; i < N; i++)
        need(proc_value("/proc/self/status", keys[i], was[i], sizeof was[i]));
    int bits = prctl(PR_GET_SECUREBITS), keep = prctl(PR_GET_KEEPCAPS);
    mark("child");
    wait_go();
    for (int i = 0; i < N; i++) {
        check(proc_value("/proc/self/status", keys[i], now, sizeof now), "%s is gone", keys[i]);
        same_text(keys[i], now, was[i]);
    }
    same("secure bits", prctl(PR_GET_SECUREBITS), bits);
    same("PR_GET_KEEPCAPS", prctl(PR_GET_KEEPCAPS), keep);
}

static void change_user(void)
{
    gid_t groups[] = {5, 100, 4321};
    if (setgroups(3, groups) < 0)
        _exit(SKIPPED);
    need(setresgid(200, 201, 202) == 0);
    need(setresuid(300, 0, 302) == 0);
    setfsgid(203);
    setfsuid(0);
}

static void change_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    need(syscall(SYS_capget, &header, data) == 0);
    if (!(data[0].permitted & (1u << CAP_SETPCAP)))
        _exit(SKIPPED);
    need(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME) == 0);
    need(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS) == 0);
    data[0].inheritable = 1u << CAP_CHOWN | 1u << CAP_NET_RAW;
    data[0].effective &= ~(1u << CAP_KILL);
    data[0].permitted &= ~(1u << CAP_MKNOD);
    data[0].effective &= data[0].permitted;
    need(syscall(SYS_capset, &header, data) == 0);
    need(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
}

int main(int argc, char **argv)
{
    pid_t child = fork_child();
    if (child == 0) {
        if (is_case(argc, argv, "changed"))
            change_user();
        else if (is_case(argc, argv, "capabilities"))
            change_capabilities();
        else if (is_case(argc, argv, "no_new_privs"))
            need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        /* What others may see of it follows from its new identity, so it is made visible again. */
        need(prctl(PR_SET_DUMPABLE, 1) == 0);
        compare_after_go();
        finish();
    }
    while (!is_there("mark.child")) {
        victim_nap();
        if (process_state(child) == 'Z') {
            int status = 0;
            waitpid(child, &status, 0);
            if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
                skip("only root can become somebody else");
            need(false);
        }
    }
    ready();
    wait_go();
    reap(child);
    finish();
}
