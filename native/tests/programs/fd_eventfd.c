/*
 * fd_eventfd.c - eventfds: counters, semaphores, flags, shared with a child.
 */
#include <sys/eventfd.h>

#include "victim.h"

static uint64_t take(int fd)
{
    uint64_t value = 0;
    check(read(fd, &value, sizeof value) == sizeof value, "read: %s", strerror(errno));
    return value;
}

int main(void)
{
    int counter = eventfd(41, EFD_CLOEXEC), semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
    int shared = eventfd(0, 0), full = eventfd(0, EFD_NONBLOCK);
    need(counter >= 0 && semaphore >= 0 && shared >= 0 && full >= 0);
    need(write(counter, &(uint64_t){1}, 8) == 8 && write(full, &(uint64_t){UINT64_MAX - 1}, 8) == 8);
    pid_t child = fork_child();
    if (child == 0) {
        mark("child");
        wait_go();
        check(write(shared, &(uint64_t){7}, 8) == 8, "write: %s", strerror(errno));
        finish();
    }
    await_mark("child");
    ready();
    wait_go();
    same("counter", take(counter), 42);
    same("close-on-exec", fcntl(counter, F_GETFD), FD_CLOEXEC);
    for (int i = 0; i < 3; i++)
        same("semaphore", take(semaphore), 1);
    uint64_t value;
    check(read(semaphore, &value, 8) < 0 && errno == EAGAIN, "the semaphore does not end at 3");
    check(write(full, &(uint64_t){1}, 8) < 0 && errno == EAGAIN, "a full counter has room");
    same("full counter", take(full), UINT64_MAX - 1);
    same("what the child wrote", take(shared), 7);
    reap(child);
    finish();
}
