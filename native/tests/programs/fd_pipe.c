/*
 * fd_pipe.c - pipes with data in them: within a process and between two, as packets, of another size, full, half closed.
 * Cases: data processes packets size full closed broken empty
 */
#include "victim.h"

static int fds[2];
static char buffer[1 << 20];

static void expect(const void *data, size_t size)
{
    ssize_t n = read(fds[0], buffer, sizeof buffer);
    check(n == (ssize_t)size && memcmp(buffer, data, size) == 0, "read %zd bytes, not %zu", n, size);
}

static void data(void)
{
    static char much[20000];
    int duplicate = dup(fds[1]);
    fill(much, sizeof much, 1);
    need(write(fds[1], much, sizeof much) == sizeof much);
    need(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
    ready();
    wait_go();
    expect(much, sizeof much);
    check(read(fds[0], buffer, 1) < 0 && errno == EAGAIN, "more data than there was");
    same("flags of the other end", fcntl(fds[1], F_GETFL), O_WRONLY);
    check(write(duplicate, "by the duplicate", 16) == 16, "write: %s", strerror(errno));
    expect("by the duplicate", 16);
}

static void processes(void)
{
    need(write(fds[1], "early ", 6) == 6);
    pid_t child = fork_child();
    if (child == 0) {
        close(fds[0]);
        mark("child");
        wait_go();
        check(write(fds[1], "late", 4) == 4, "write: %s", strerror(errno));
        finish();
    }
    close(fds[1]);
    await_mark("child");
    ready();
    wait_go();
    reap(child);
    expect("early late", 10);
    check(read(fds[0], buffer, 1) == 0, "no end of file after the last writer");
}

static void packets(void)
{
    need(pipe2(fds, O_DIRECT) == 0);
    need(write(fds[1], "one", 3) == 3 && write(fds[1], "three", 5) == 5);
    ready();
    wait_go();
    expect("one", 3);
    expect("three", 5);
    check(write(fds[1], "a", 1) == 1 && write(fds[1], "b", 1) == 1, "write: %s", strerror(errno));
    expect("a", 1);
    same("flags", fcntl(fds[1], F_GETFL) & O_DIRECT, O_DIRECT);
}

static void size(void)
{
    int is = fcntl(fds[0], F_SETPIPE_SZ, 512 * 1024);
    need(is >= 512 * 1024);
    static char much[400000];
    fill(much, sizeof much, 2);
    need(write(fds[1], much, sizeof much) == sizeof much);
    ready();
    wait_go();
    same("size", fcntl(fds[0], F_GETPIPE_SZ), is);
    expect(much, sizeof much);
}

/* Full to the last byte; a writer waits. */
static void full(void)
{
    need(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    fill(buffer, sizeof buffer, 3);
    ssize_t n = write(fds[1], buffer, sizeof buffer);
    need(n > 0 && fcntl(fds[1], F_SETFL, 0) == 0);
    pid_t child = fork_child();
    if (child == 0) {
        mark("child");
        check(write(fds[1], "late", 4) == 4, "write: %s", strerror(errno));
        mark("written");
        finish();
    }
    await_mark("child");
    need(await_state(child, 'S'));
    ready();
    wait_go();
    check(!is_there("mark.written"), "there was room in a full pipe");
    static char got[1 << 20];
    for (ssize_t have = 0; have < n;) {
        ssize_t more = read(fds[0], got + have, (size_t)(n - have));
        check(more > 0, "read: %s", strerror(errno));
        have += more > 0 ? more : n;
    }
    check_pattern(got, (size_t)n, 3);
    expect("late", 4);
    reap(child);
}

/* Without a writer: the rest of the data, then the end. */
static void closed(void)
{
    need(write(fds[1], "rest", 4) == 4);
    close(fds[1]);
    ready();
    wait_go();
    expect("rest", 4);
    check(read(fds[0], buffer, 1) == 0, "no end of file");
}

/* Without a reader. */
static void broken(void)
{
    signal(SIGPIPE, SIG_IGN);
    close(fds[0]);
    ready();
    wait_go();
    check(write(fds[1], "x", 1) < 0 && errno == EPIPE, "writing without a reader: %s", strerror(errno));
}

static void empty(void)
{
    int other[2];
    need(pipe2(other, O_CLOEXEC | O_NONBLOCK) == 0);
    ready();
    wait_go();
    check(read(other[0], buffer, 1) < 0 && errno == EAGAIN, "data from nowhere");
    same("close-on-exec", fcntl(other[1], F_GETFD), FD_CLOEXEC);
    check(write(fds[1], "x", 1) == 1, "write: %s", strerror(errno));
    expect("x", 1);
    check(read(other[0], buffer, 1) < 0 && errno == EAGAIN, "the two pipes have become one");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"data", data}, {"processes", processes}, {"packets", packets}, {"size", size},
                 {"full", full}, {"closed", closed},       {"broken", broken},   {"empty", empty}};
    need(pipe(fds) == 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (is_case(argc, argv, cases[i].name))
            cases[i].run();
    finish();
}
