/*
 * fd_epoll.c - epoll: level and edge triggered, one-shot before and after it fired, nested, shared, by a closed number.
 * Cases: level edge oneshot nested shared ghost
 * Driver: either=ghost
 */
#include <sys/epoll.h>

#include "victim.h"

static int ep, fds[2], other[2];
static struct epoll_event events[8];

static void add(int fd, uint32_t what, uint64_t data)
{
    need(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = what, .data.u64 = data}) == 0);
}

static int get(void)
{
    memset(events, 0, sizeof events);
    int n = epoll_wait(ep, events, 8, 0);
    check(n >= 0, "epoll_wait: %s", strerror(errno));
    return n;
}

static void byte_to(int fd)
{
    check(write(fd, "x", 1) == 1, "write: %s", strerror(errno));
}

static void level(void)
{
    uint64_t data = 0x123456789abcdef0ULL;
    add(fds[0], EPOLLIN | EPOLLPRI, data);
    add(other[0], EPOLLIN, 2);
    add(other[1], EPOLLOUT | EPOLLET | EPOLLRDHUP, 3);
    byte_to(fds[1]);
    ready();
    wait_go();
    int n = get();
    check(n >= 1 && n <= 2, "%d events", n);
    bool found = false;
    for (int i = 0; i < n; i++)
        found |= events[i].data.u64 == data && events[i].events == EPOLLIN;
    check(found, "the event of the pipe is missing");
    byte_to(other[1]);
    check(get() >= 2, "level triggered events do not come again");
    check(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], events) < 0 && errno == EEXIST, "the pipe is not in the set");
    check(epoll_ctl(ep, EPOLL_CTL_DEL, fds[0], NULL) == 0, "EPOLL_CTL_DEL: %s", strerror(errno));
}

/* The event was not fetched yet: it must come. After that there is none until more data comes. */
static void edge(void)
{
    add(fds[0], EPOLLIN | EPOLLET, 1);
    byte_to(fds[1]);
    ready();
    wait_go();
    same("events", get(), 1);
    same("events of the same edge", get(), 0);
    byte_to(fds[1]);
    same("events of the next edge", get(), 1);
}

static void oneshot(void)
{
    add(fds[0], EPOLLIN | EPOLLONESHOT, 1);
    add(other[0], EPOLLIN | EPOLLONESHOT, 2);
    byte_to(fds[1]);
    need(get() == 1);
    ready();
    wait_go();
    same("events of one that has fired", get(), 0);
    byte_to(other[1]);
    check(get() == 1 && events[0].data.u64 == 2, "one that had not fired does not");
    same("events after both", get(), 0);
    check(epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &(struct epoll_event){.events = EPOLLIN, .data.u64 = 9}) == 0,
          "EPOLL_CTL_MOD: %s", strerror(errno));
    check(get() == 1 && events[0].data.u64 == 9, "no event after it was armed again");
}

static void nested(void)
{
    int outer = epoll_create1(EPOLL_CLOEXEC);
    add(fds[0], EPOLLIN, 1);
    need(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &(struct epoll_event){.events = EPOLLIN, .data.u64 = 5}) == 0);
    byte_to(fds[1]);
    ready();
    wait_go();
    check(epoll_wait(outer, events, 8, 0) == 1 && events[0].data.u64 == 5, "the outer one does not see it");
    check(get() == 1 && events[0].data.u64 == 1, "the inner one does not see it");
    same("close-on-exec", fcntl(outer, F_GETFD), FD_CLOEXEC);
}

static void shared(void)
{
    add(fds[0], EPOLLIN, 1);
    pid_t child = fork_child();
    if (child == 0) {
        mark("child");
        wait_go();
        /* In the parent's set too: it is the same one. */
        add(other[0], EPOLLIN, 2);
        byte_to(other[1]);
        finish();
    }
    await_mark("child");
    ready();
    wait_go();
    reap(child);
    check(get() == 1 && events[0].data.u64 == 2, "the child's pipe is not in the set");
}

/* A duplicate keeps the entry of a closed number alive. */
static void ghost(void)
{
    add(fds[0], EPOLLIN, 1);
    int duplicate = dup(fds[0]);
    need(duplicate >= 0 && close(fds[0]) == 0);
    byte_to(fds[1]);
    need(get() == 1);
    ready();
    wait_go();
    check(get() == 1 && events[0].data.u64 == 1, "no event for the closed number");
    char byte;
    check(read(duplicate, &byte, 1) == 1, "read: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"level", level},   {"edge", edge},     {"oneshot", oneshot},
                 {"nested", nested}, {"shared", shared}, {"ghost", ghost}};
    need(pipe(fds) == 0 && pipe(other) == 0 && (ep = epoll_create1(0)) >= 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (is_case(argc, argv, cases[i].name))
            cases[i].run();
    finish();
}
