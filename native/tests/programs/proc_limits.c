/*
 * proc_limits.c - all resource limits, and that they still act.
 */
#include <sys/resource.h>

#include "victim.h"

int main(void)
{
    static struct rlimit was[RLIM_NLIMITS], now;
    struct rlimit files = {.rlim_cur = 60, .rlim_max = 70}, size = {.rlim_cur = 1 << 20, .rlim_max = 5 << 20};
    struct rlimit core = {.rlim_cur = 0, .rlim_max = 123456}, stack = {.rlim_cur = 3 << 20, .rlim_max = 4 << 20};
    need(setrlimit(RLIMIT_NOFILE, &files) == 0 && setrlimit(RLIMIT_FSIZE, &size) == 0);
    need(setrlimit(RLIMIT_CORE, &core) == 0 && setrlimit(RLIMIT_STACK, &stack) == 0);
    for (int i = 0; i < RLIM_NLIMITS; i++)
        need(getrlimit((__rlimit_resource_t)i, &was[i]) == 0);
    /* Open above the limit that was set afterwards. */
    struct rlimit fewer = {.rlim_cur = 20, .rlim_max = 70};
    need(dup2(STDERR_FILENO, 40) == 40 && setrlimit(RLIMIT_NOFILE, &fewer) == 0);
    was[RLIMIT_NOFILE] = fewer;
    ready();
    wait_go();
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        check(getrlimit((__rlimit_resource_t)i, &now) == 0, "getrlimit: %s", strerror(errno));
        check(now.rlim_cur == was[i].rlim_cur && now.rlim_max == was[i].rlim_max,
              "limit %d is %lld of %lld, was %lld of %lld", i, (long long)now.rlim_cur, (long long)now.rlim_max,
              (long long)was[i].rlim_cur, (long long)was[i].rlim_max);
    }
    check(fcntl(40, F_GETFD) == 0, "the descriptor above the limit is gone");
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
    same("error of open()", errno, EMFILE);
    finish();
}
