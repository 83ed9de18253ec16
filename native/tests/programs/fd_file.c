/*
 * fd_file.c - regular files: offsets, flags, offsets shared by dup() and fork(), appending, close-on-exec, O_PATH.
 */
#include "victim.h"

enum { SIZE = 100000 };

static char contents[SIZE];
static int a, duplicate, again, append, shared, output, path, read_only;

static void expect(int fd, off_t at, const char *what)
{
    char now[1000];
    check(read(fd, now, sizeof now) == sizeof now, "%s: read: %s", what, strerror(errno));
    check(memcmp(now, contents + at, sizeof now) == 0, "%s does not read from %ld", what, (long)at);
}

static int opened(const char *name, int flags)
{
    int fd = open(name, flags, 0640);
    need(fd >= 0);
    return fd;
}

int main(void)
{
    static const int flags[] = {O_RDWR,
                                O_RDWR,
                                O_RDONLY | O_CLOEXEC,
                                O_WRONLY | O_APPEND,
                                O_RDWR | O_NONBLOCK,
                                O_WRONLY | O_CREAT | O_TRUNC | O_DSYNC,
                                O_PATH | O_CLOEXEC,
                                O_RDONLY | O_NOATIME};
    static int *const fds[] = {&a, &duplicate, &again, &append, &shared, &output, &path, &read_only};
    static const off_t offsets[] = {5000, 5000, 70, 3, 20000, 4, -1, 0};
    enum { N = sizeof fds / sizeof *fds };
    int status[N], table[N];

    fill(contents, sizeof contents, 1);
    write_file("data", contents, sizeof contents);
    write_file("log", "begin\n", 6);
    write_file("by path", contents, 100);
    for (int i = 0; i < N; i++) {
        const char *name = i == 3 ? "log" : i == 5 ? "output" : i == 6 ? "by path" : "data";
        *fds[i] = i == 1 ? dup(a) : opened(name, flags[i]);
    }
    need(write(append, "line\n", 5) == 5 && write(output, "four", 4) == 4);
    for (int i = 0; i < N; i++)
        need(offsets[i] < 0 || lseek(*fds[i], offsets[i], SEEK_SET) == offsets[i]);
    for (int i = 0; i < N; i++) {
        status[i] = fcntl(*fds[i], F_GETFL);
        table[i] = fcntl(*fds[i], F_GETFD);
    }
    pid_t child = fork_child();
    if (child == 0) {
        mark("child");
        await_mark("first");
        expect(shared, 21000, "the child");
        mark("second");
        finish();
    }
    await_mark("child");

    ready();
    wait_go();

    for (int i = 0; i < N; i++) {
        check(fcntl(*fds[i], F_GETFL) == status[i], "descriptor %d: flags are %#o, were %#o", i,
              (unsigned)fcntl(*fds[i], F_GETFL), (unsigned)status[i]);
        same("close-on-exec", fcntl(*fds[i], F_GETFD), table[i]);
        if (offsets[i] >= 0)
            same("offset", lseek(*fds[i], 0, SEEK_CUR), offsets[i]);
    }
    expect(a, 5000, "the first descriptor");
    expect(duplicate, 6000, "its duplicate");
    expect(again, 70, "a descriptor opened by itself");
    expect(shared, 20000, "the parent");
    mark("first");
    await_mark("second");
    expect(shared, 22000, "the parent after the child");

    char text[64] = "";
    check(write(append, "more\n", 5) == 5, "write: %s", strerror(errno));
    read_file("log", text, sizeof text);
    same_text("log", text, "begin\nline\nmore\n");
    check(write(output, "more", 4) == 4, "write: %s", strerror(errno));
    read_file("output", text, sizeof text);
    same_text("output", text, "fourmore");
    struct stat st = {0};
    check(fstatat(path, "", &st, AT_EMPTY_PATH) == 0, "fstatat: %s", strerror(errno));
    same("size by path", st.st_size, 100);
    reap(child);
    finish();
}
