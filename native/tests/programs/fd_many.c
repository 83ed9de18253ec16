/*
 * fd_many.c - five hundred descriptors, and high numbers with gaps between them.
 */
#include <sys/resource.h>

#include "victim.h"

enum { COUNT = 500, HIGH = 1000 };

static const int high[] = {HIGH, HIGH + 1, HIGH + 22};

int main(void)
{
    struct rlimit limit;
    char name[32], text[32], expected[32];
    static int fds[COUNT];
    need(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 4000 ? limit.rlim_max : 4000;
    need(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "file%d", i);
        snprintf(text, sizeof text, "contents of %d", i);
        write_file(name, text, strlen(text));
        need((fds[i] = open(name, O_RDONLY | (i % 3 ? 0 : O_CLOEXEC))) >= 0);
        need(lseek(fds[i], i % 5, SEEK_SET) == i % 5);
    }
    for (int i = 0; i < 3; i++) {
        if ((rlim_t)high[i] >= limit.rlim_cur)
            skip("only %ld descriptors are allowed", (long)limit.rlim_cur);
        need(dup2(fds[i], high[i]) == high[i]);
    }
    for (int i = 1; i < COUNT; i += 7)
        close(fds[i]);
    ready();
    wait_go();
    for (int i = 0; i < COUNT; i++) {
        if (i % 7 == 1) {
            check(fcntl(fds[i], F_GETFD) < 0, "the closed descriptor %d is open", fds[i]);
            continue;
        }
        same("close-on-exec", fcntl(fds[i], F_GETFD), i % 3 ? 0 : FD_CLOEXEC);
        snprintf(expected, sizeof expected, "contents of %d", i);
        ssize_t n = read(fds[i], text, sizeof text - 1);
        text[n > 0 ? n : 0] = '\0';
        same_text("contents", text, expected + i % 5);
    }
    for (int i = 0; i < 3; i++)
        same("offset of a high number", lseek(high[i], 0, SEEK_CUR), i == 1 ? 1 : (int)strlen("contents of 0"));
    check(fcntl(HIGH + 2, F_GETFD) < 0, "a number in the gap is open");
    same("next free number", open("/dev/null", O_RDONLY), fds[1]);
    finish();
}
