/* test_descriptors.c - files, pipes, streams and terminals through checkpoint and restart: what a program sees afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/lib_scene.h"

#define FD(i) (stage->fd[i])

static bool reads(int fd, const char *wanted)
{
    char text[256];
    ssize_t got = read(fd, text, sizeof text);
    return got == (ssize_t)strlen(wanted) && !memcmp(text, wanted, (size_t)got);
}

static bool reads_some(int fd, const char *wanted)
{
    char text[256];
    size_t size = strlen(wanted);
    return read(fd, text, size) == (ssize_t)size && !memcmp(text, wanted, size);
}

/* How a call ends in another process: 0, or errno. */
/* ---- files, folders, devices, paths ---- */

static void files_make(struct stage *s)
{
    FD(0) = open("a", O_RDWR | O_CREAT, 0644);
    MUST(write(FD(0), "0123456789", 10) == 10);
    FD(1) = dup(FD(0));
    FD(2) = open("a", O_RDONLY | O_CLOEXEC);
    MUST(lseek(FD(2), 2, SEEK_SET) == 2);
    FD(3) = fcntl(FD(0), F_DUPFD_CLOEXEC, 1000);
    MUST(lseek(FD(0), 5, SEEK_SET) == 5);
    FD(4) = open("log", O_WRONLY | O_APPEND | O_CREAT, 0600);
    MUST(write(FD(4), "line\n", 5) == 5);
    FD(5) = open("gone", O_RDWR | O_CREAT, 0600);
    MUST(write(FD(5), "unlinked", 8) == 8 && !unlink("gone"));
    FD(6) = memfd_create("memory", MFD_ALLOW_SEALING);
    MUST(write(FD(6), "memfd", 5) == 5);
    FD(7) = open("a", O_RDWR | O_NONBLOCK | O_NOATIME);
    (void)s;
}

static const char *files_verify(struct stage *s, int index)
{
    char path[256];
    struct stat st;

    (void)s;
    (void)index;
    CHECK(reads_some(FD(0), "56"));
    CHECK(lseek(FD(1), 0, SEEK_CUR) == 7);
    CHECK(lseek(FD(3), 0, SEEK_CUR) == 7);
    CHECK(FD(3) == 1000 && fcntl(1000, F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(FD(1), F_GETFD) == 0);
    CHECK(fcntl(FD(2), F_GETFD) == FD_CLOEXEC && reads_some(FD(2), "234"));
    CHECK((fcntl(FD(2), F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK(fcntl(FD(4), F_GETFL) & O_APPEND);
    CHECK(write(FD(4), "more\n", 5) == 5 && !fstat(FD(4), &st) && st.st_size == 10);
    CHECK(lseek(FD(5), 0, SEEK_CUR) == 8 && lseek(FD(5), 0, SEEK_SET) == 0 && reads(FD(5), "unlinked"));
    CHECK(!fstat(FD(5), &st) && st.st_nlink == 0);
    CHECK(lseek(FD(6), 0, SEEK_SET) == 0 && reads(FD(6), "memfd"));
    snprintf(path, sizeof path, "/proc/self/fd/%d", FD(6));
    char link[64] = {0};
    CHECK(readlink(path, link, sizeof link - 1) > 0 && strstr(link, "/memfd:memory"));
    CHECK((fcntl(FD(7), F_GETFL) & (O_NONBLOCK | O_NOATIME)) == (O_NONBLOCK | O_NOATIME));
    CHECK(fcntl(900, F_GETFD) < 0 && fcntl(3000, F_GETFD) < 0);
    return NULL;
}

static void test_files(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = files_make, .verify = files_verify});
}

static void shared_make(struct stage *s)
{
    (void)s;
    FD(0) = open("a", O_RDWR | O_CREAT, 0644);
    FD(1) = FD(0) + 1;
    MUST(write(FD(0), "0123456789", 10) == 10 && lseek(FD(0), 3, SEEK_SET) == 3);
    if (!scene_fork()) {
        FD(1) = open("a", O_RDONLY);
        scene_stop();
    }
    if (!scene_fork_sharing())
        scene_stop();
}

static const char *shared_verify(struct stage *s, int index)
{
    (void)s;
    if (index == 0)
        CHECK(reads_some(FD(0), "34"));
    if (index == 1)
        CHECK(lseek(FD(0), 0, SEEK_CUR) == 5 && reads_some(FD(1), "012") && lseek(FD(0), 0, SEEK_CUR) == 5);
    if (index == 2)
        CHECK(lseek(FD(0), 0, SEEK_CUR) == 5 && fcntl(FD(1), F_GETFD) < 0);
    return NULL;
}

static void test_shared_between_processes(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = shared_make, .verify = shared_verify});
}

static void folders_make(struct stage *s)
{
    char name[16];
    char entries[512];

    (void)s;
    MUST(!mkdir("folder", 0755) && !mkdir("removed", 0700));
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "folder/f%02d", i);
        MUST(!close(open(name, O_CREAT | O_WRONLY, 0644)));
    }
    FD(0) = open("folder", O_RDONLY | O_DIRECTORY);
    MUST(syscall(SYS_getdents64, FD(0), entries, sizeof entries) > 0);
    stage->number[0] = lseek(FD(0), 0, SEEK_CUR);
    stage->number[1] = 0;
    for (long got; (got = syscall(SYS_getdents64, FD(0), entries, sizeof entries)) > 0;)
        stage->number[1] += got;
    MUST(lseek(FD(0), stage->number[0], SEEK_SET) == stage->number[0]);
    FD(1) = open("removed", O_RDONLY | O_DIRECTORY);
    MUST(!rmdir("removed"));
    FD(2) = open("folder/f01", O_PATH | O_CLOEXEC);
    MUST(!symlink("folder/f02", "link"));
    FD(3) = open("link", O_PATH | O_NOFOLLOW);
    stage->number[2] = fcntl(FD(2), F_GETFL);
    stage->number[3] = fcntl(FD(3), F_GETFL);
}

static const char *folders_verify(struct stage *s, int index)
{
    char entries[512];
    int64_t size = 0;
    struct stat st;

    (void)s;
    (void)index;
    CHECK(lseek(FD(0), 0, SEEK_CUR) == stage->number[0]);
    for (long got; (got = syscall(SYS_getdents64, FD(0), entries, sizeof entries)) > 0;)
        size += got;
    CHECK(size == stage->number[1]);
    CHECK(!fstat(FD(1), &st) && S_ISDIR(st.st_mode) && st.st_nlink == 0 && (st.st_mode & 0777) == 0700);
    CHECK(fcntl(FD(2), F_GETFL) & O_PATH && read(FD(2), entries, 1) < 0 && errno == EBADF);
    CHECK(!fstat(FD(2), &st) && S_ISREG(st.st_mode) && fcntl(FD(2), F_GETFD) == FD_CLOEXEC);
    CHECK(!fstat(FD(3), &st) && S_ISLNK(st.st_mode));
    CHECK(fcntl(FD(2), F_GETFL) == stage->number[2] && fcntl(FD(3), F_GETFL) == stage->number[3]);
    return NULL;
}

static void test_folders_and_paths(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = folders_make, .verify = folders_verify});
}

static void devices_make(struct stage *s)
{
    (void)s;
    FD(0) = open("/dev/null", O_WRONLY);
    FD(1) = open("/dev/zero", O_RDONLY);
    FD(2) = open("/dev/full", O_RDWR);
    FD(3) = open("/dev/random", O_RDONLY | O_NONBLOCK);
    FD(4) = open("/dev/urandom", O_RDONLY);
}

static const char *devices_verify(struct stage *s, int index)
{
    char byte = 1;

    (void)s;
    (void)index;
    CHECK(write(FD(0), "x", 1) == 1);
    CHECK(read(FD(1), &byte, 1) == 1 && !byte);
    CHECK(write(FD(2), "x", 1) < 0 && errno == ENOSPC);
    CHECK(fcntl(FD(3), F_GETFL) & O_NONBLOCK);
    CHECK(!(fcntl(FD(4), F_GETFL) & O_NONBLOCK) && read(FD(4), &byte, 1) == 1);
    CHECK(fcntl(0, F_GETFD) == 0 && fcntl(1, F_GETFD) == 0 && fcntl(2, F_GETFD) == 0);
    return NULL;
}

static void test_devices(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = devices_make, .verify = devices_verify});
}

/* ---- pipes ---- */

static int in_flight(int fd)
{
    int size = -1;
    return ioctl(fd, FIONREAD, &size) ? -1 : size;
}

static void pipes_make(struct stage *s)
{
    char path[64];

    (void)s;
    MUST(!pipe(&FD(0)) && write(FD(1), "hello", 5) == 5);
    MUST(fcntl(FD(0), F_SETPIPE_SZ, 131072) == 131072);
    char block[1024];
    memset(block, 'b', sizeof block);
    MUST(!pipe2(&FD(2), O_NONBLOCK));
    while (write(FD(3), block, sizeof block) > 0)
        stage->number[0]++;
    MUST(!pipe2(&FD(4), O_DIRECT) && write(FD(5), "one", 3) == 3 && write(FD(5), "three", 5) == 5);
    MUST(!pipe(&FD(6)) && write(FD(7), "last", 4) == 4 && !close(FD(7)));
    MUST(!pipe(&FD(8)) && !close(FD(8)));
    MUST(!pipe2(&FD(10), O_CLOEXEC));
    snprintf(path, sizeof path, "/proc/self/fd/%d", FD(10));
    FD(12) = open(path, O_RDWR | O_NONBLOCK);
    FD(13) = dup(FD(10));
    MUST(FD(12) >= 0);
}

static const char *pipes_verify(struct stage *s, int index)
{
    char block[1024];

    (void)s;
    (void)index;
    CHECK(in_flight(FD(0)) == 5 && reads(FD(0), "hello"));
    CHECK(fcntl(FD(0), F_GETPIPE_SZ) == 131072);
    CHECK(write(FD(1), "more", 4) == 4 && reads(FD(0), "more"));
    CHECK(write(FD(3), block, 1) < 0 && errno == EAGAIN);
    int64_t blocks = 0;
    for (ssize_t got; (got = read(FD(2), block, sizeof block)) > 0; blocks++)
        CHECK(got == sizeof block && block[0] == 'b' && block[1023] == 'b');
    CHECK(errno == EAGAIN && blocks == stage->number[0] && blocks == 64);
    CHECK(reads(FD(4), "one") && reads(FD(4), "three"));
    CHECK(fcntl(FD(5), F_GETFL) & O_DIRECT);
    CHECK(reads(FD(6), "last") && read(FD(6), block, 1) == 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK(write(FD(9), "x", 1) < 0 && errno == EPIPE);
    CHECK(fcntl(FD(10), F_GETFD) == FD_CLOEXEC && fcntl(FD(13), F_GETFD) == 0);
    CHECK((fcntl(FD(12), F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK));
    CHECK(!(fcntl(FD(10), F_GETFL) & O_NONBLOCK));
    CHECK(write(FD(12), "x", 1) == 1 && reads(FD(13), "x"));
    return NULL;
}

static void test_pipes(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = pipes_make, .verify = pipes_verify});
}

static void end_of_file_make(struct stage *s)
{
    (void)s;
    MUST(!pipe(&FD(0)));
    if (!scene_fork()) {
        close(FD(0));
        scene_stop();
    }
    close(FD(1));
}

/* The reader sees the end when the only writer closes: nobody else, not even the restorer, holds an end. */
static const char *end_of_file_verify(struct stage *s, int index)
{
    (void)s;
    if (index == 1)
        CHECK(write(FD(1), "bye", 3) == 3 && !close(FD(1)));
    return NULL;
}

static const char *end_of_file_later(struct stage *s, int index)
{
    char byte;

    (void)s;
    if (index == 0)
        CHECK(reads(FD(0), "bye") && read(FD(0), &byte, 1) == 0);
    return NULL;
}

static void test_pipe_ends(void **state)
{
    (void)state;
    scene_play(
        &(struct scene){.make = end_of_file_make, .verify = end_of_file_verify, .verify_later = end_of_file_later});
}

static void fifos_make(struct stage *s)
{
    (void)s;
    MUST(!mkfifo("fifo", 0640));
    FD(0) = open("fifo", O_RDONLY | O_NONBLOCK);
    FD(1) = open("fifo", O_WRONLY);
    MUST(write(FD(1), "first in", 8) == 8);
    MUST(!mkfifo("gone", 0600));
    FD(2) = open("gone", O_RDWR);
    MUST(write(FD(2), "first out", 9) == 9 && !unlink("gone"));
    MUST(!mkfifo("lonely", 0600));
    FD(3) = open("lonely", O_RDONLY | O_NONBLOCK);
}

static void fifos_between(struct stage *s)
{
    char path[128];
    snprintf(path, sizeof path, "%s/fifo", s->folder);
    assert_int_equal(unlink(path), 0);
}

static const char *fifos_verify(struct stage *s, int index)
{
    struct stat st;
    struct pollfd poller = {.fd = FD(3), .events = POLLIN};

    (void)s;
    (void)index;
    CHECK(fcntl(FD(0), F_GETFL) & O_NONBLOCK);
    CHECK(!(fcntl(FD(1), F_GETFL) & O_NONBLOCK));
    CHECK(reads(FD(0), "first in") && write(FD(1), "x", 1) == 1 && reads(FD(0), "x"));
    CHECK(!stat("fifo", &st) && S_ISFIFO(st.st_mode) && (st.st_mode & 0777) == 0640);
    CHECK(reads(FD(2), "first out"));
    CHECK(!fstat(FD(2), &st) && st.st_nlink == 0);
    CHECK(poll(&poller, 1, 0) == 0);
    return NULL;
}

static void test_fifos(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = fifos_make, .verify = fifos_verify, .between = fifos_between});
}

/* ---- streams that lead outside ---- */

static int outside_ends[4];

static void outside_make(struct stage *s)
{
    (void)s;
    dup2(FD(20), 0);
    dup2(FD(21), 1);
    FD(0) = dup(1);
    close(FD(20));
    close(FD(21));
}

/* The victim inherits nothing, so it is given the ends by number: it opens them through /proc of the test. */
static void outside_make_by_proc(struct stage *s)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd/%d", getppid(), (int)s->number[20]);
    FD(20) = open(path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", getppid(), (int)s->number[21]);
    FD(21) = open(path, O_WRONLY);
    MUST(FD(20) >= 0 && FD(21) >= 0);
    outside_make(s);
}

static void outside_prepare(struct stage *s)
{
    assert_int_equal(pipe2(outside_ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(outside_ends + 2, O_CLOEXEC), 0);
    assert_int_equal(write(outside_ends[1], "unread ", 7), 7);
    s->number[20] = outside_ends[0];
    s->number[21] = outside_ends[3];
}

static void outside_builder(struct stage *s)
{
    int in[2], out = open("out", O_RDWR | O_CREAT | O_TRUNC, 0600);

    (void)s;
    if (pipe(in) || write(in[1], "new input", 9) != 9)
        _exit(97);
    close(in[1]);
    dup2(in[0], 0);
    dup2(out, 1);
    dup2(out, 2);
    close(in[0]);
    close(out);
}

static const char *outside_verify(struct stage *s, int index)
{
    char text[64] = {0};
    size_t size = 0;

    (void)s;
    (void)index;
    for (ssize_t got; (got = read(0, text + size, sizeof text - 1 - size)) > 0;)
        size += (size_t)got;
    CHECK(!strcmp(text, "unread new input"));
    CHECK(write(1, "to stdout,", 10) == 10 && write(FD(0), "dup", 3) == 3);
    int out = open("out", O_RDONLY);
    CHECK(reads(out, "to stdout,dup"));
    return NULL;
}

static void test_outside(void **state)
{
    (void)state;
    scene_play(&(struct scene){.prepare = outside_prepare,
                               .make = outside_make_by_proc,
                               .verify = outside_verify,
                               .builder = outside_builder});
    for (int i = 0; i < 4; i++)
        close(outside_ends[i]);
}

/* ---- terminals ---- */

static void terminals_make(struct stage *s)
{
    struct winsize size = {.ws_row = 33, .ws_col = 77};
    struct termios settings;
    int on = 1, off = 0;

    (void)s;
    FD(0) = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    MUST(FD(0) >= 0 && !ioctl(FD(0), TIOCSPTLCK, &off));
    FD(1) = ioctl(FD(0), TIOCGPTPEER, O_RDWR | O_NOCTTY);
    MUST(FD(1) >= 0 && !ioctl(FD(1), TIOCSWINSZ, &size) && !tcgetattr(FD(1), &settings));
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = 3;
    MUST(!tcsetattr(FD(1), TCSANOW, &settings) && !ioctl(FD(0), TIOCPKT, &on));
    FD(2) = dup(FD(1));
    MUST(!ioctl(FD(0), TIOCGPTN, &stage->number[0]));
}

static const char *terminals_verify(struct stage *s, int index)
{
    struct winsize size;
    struct termios settings;
    int packet = 0, number = -1;
    char text[8];

    (void)s;
    (void)index;
    CHECK(!ioctl(FD(1), TIOCGWINSZ, &size) && size.ws_row == 33 && size.ws_col == 77);
    CHECK(!tcgetattr(FD(2), &settings) && settings.c_cc[VMIN] == 3 && !(settings.c_lflag & ECHO));
    CHECK(!ioctl(FD(0), TIOCGPKT, &packet) && packet == 1);
    CHECK(!ioctl(FD(0), TIOCGPTN, &number) && number == stage->number[0]);
    CHECK(write(FD(0), "abc", 3) == 3 && reads(FD(2), "abc"));
    CHECK(write(FD(1), "xyz", 3) == 3 && read(FD(0), text, sizeof text) == 4 && !memcmp(text, "\0xyz", 4));
    return NULL;
}

static void test_terminals(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = terminals_make, .verify = terminals_verify});
}

/* ---- many ---- */

#define MANY 5000

static void many_make(struct stage *s)
{
    (void)s;
    FD(0) = open("a", O_RDWR | O_CREAT, 0644);
    for (int i = 0; i < MANY; i++)
        MUST(i % 4 == 0 ? eventfd((unsigned)i, 0) >= 0 : i % 4 == 1 ? dup(FD(0)) >= 0 : open("a", O_RDONLY) >= 0);
}

static const char *many_verify(struct stage *s, int index)
{
    uint64_t count;

    (void)s;
    (void)index;
    CHECK(read(FD(0) + 1 + 4 * 1000, &count, 8) == 8 && count == 4000);
    CHECK(lseek(FD(0), 9, SEEK_SET) == 9 && lseek(FD(0) + 2 + 400, 0, SEEK_CUR) == 9);
    CHECK(lseek(FD(0) + 3 + 400, 0, SEEK_CUR) == 0);
    return NULL;
}

static void test_many(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = many_make, .verify = many_verify});
    print_message("           %d descriptors looked at in %.1f ms\n", MANY, (double)scene_capture_ns / 1e6);
}

#define ROUNDS 150

static void test_damaged(void **state)
{
    static void (*const makers[])(struct stage *) = {pipes_make, fifos_make, devices_make, terminals_make};

    (void)state;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        scene_damage(&(struct scene){.make = makers[i]}, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_shared_between_processes),
        cmocka_unit_test(test_folders_and_paths),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_pipe_ends),
        cmocka_unit_test(test_fifos),
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_terminals),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
