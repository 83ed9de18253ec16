/*
 * fd_devices.c - /dev/null, zero, full, random, urandom: open with their flags, and private maps of /dev/zero.
 */
#include <sys/sysmacros.h>

#include "victim.h"

int main(void)
{
    static const char *const names[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
    enum { N = sizeof names / sizeof *names };
    int fds[N];
    char bytes[32] = "";
    for (int i = 0; i < N; i++)
        need((fds[i] = open(names[i], i < 3 ? O_RDWR | O_CLOEXEC : O_RDONLY)) >= 0);
    unsigned char *map = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[1], 0);
    need(map != MAP_FAILED);
    fill(map, PAGE, 1);
    ready();
    wait_go();
    for (int i = 0; i < N; i++) {
        struct stat is = {0}, was = {0};
        check(fstat(fds[i], &is) == 0 && stat(names[i], &was) == 0, "%s: %s", names[i], strerror(errno));
        same(names[i], is.st_rdev, was.st_rdev);
        same("flags", fcntl(fds[i], F_GETFL) & O_ACCMODE, i < 3 ? O_RDWR : O_RDONLY);
        same("close-on-exec", fcntl(fds[i], F_GETFD), i < 3 ? FD_CLOEXEC : 0);
    }
    check(read(fds[0], bytes, 1) == 0 && write(fds[0], "x", 1) == 1, "/dev/null");
    memset(bytes, 1, sizeof bytes);
    check(read(fds[1], bytes, sizeof bytes) == sizeof bytes && all_zero(bytes, sizeof bytes), "/dev/zero");
    check(write(fds[2], "x", 1) < 0 && errno == ENOSPC, "/dev/full");
    for (int i = 3; i < N; i++)
        check(read(fds[i], bytes, sizeof bytes) == sizeof bytes && !all_zero(bytes, sizeof bytes), "%s", names[i]);
    check_pattern(map, PAGE, 1);
    check(all_zero(map + PAGE, 3 * PAGE), "a map of /dev/zero is not zero");
    finish();
}
