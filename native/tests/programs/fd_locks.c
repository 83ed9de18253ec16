/*
 * fd_locks.c - locks on files: flock(), POSIX and OFD, whole and in ranges. A child sees after the restart what is locked.
 * Cases: flock posix mapped ofd shared
 */
#include <sys/file.h>

#include "victim.h"

static bool posix;

static struct flock range(short type, off_t start, off_t length)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

/* Is a byte free for a lock of that type by somebody else? */
static bool is_free(int fd, short type, off_t at)
{
    struct flock lock = range(type, at, 1);
    check(fcntl(fd, posix ? F_GETLK : F_OFD_GETLK, &lock) == 0, "F_GETLK: %s", strerror(errno));
    return lock.l_type == F_UNLCK;
}

static void look_at_ranges(void)
{
    int fd = open("file", O_RDWR);
    check(fd >= 0, "open: %s", strerror(errno));
    check(is_free(fd, F_WRLCK, 9), "byte 9 is locked");
    check(!is_free(fd, F_RDLCK, 10) && !is_free(fd, F_RDLCK, 19), "bytes 10 to 19 are not locked for writing");
    check(is_free(fd, F_WRLCK, 20), "byte 20 is locked");
    check(is_free(fd, F_RDLCK, 30) && !is_free(fd, F_WRLCK, 30), "byte 30 is not locked for reading");
    check(is_free(fd, F_WRLCK, 36), "byte 36 is locked");
    check(!is_free(fd, F_RDLCK, 100) && !is_free(fd, F_RDLCK, 1000000), "the rest is not locked");
}

static int set_ranges(void)
{
    int fd = open("file", O_RDWR), command = posix ? F_SETLK : F_OFD_SETLK;
    struct flock all[] = {range(F_WRLCK, 10, 10), range(F_RDLCK, 30, 10), range(F_UNLCK, 35, 5),
                          range(F_WRLCK, 100, 0)};
    need(fd >= 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        need(fcntl(fd, command, &all[i]) == 0);
    return fd;
}

static int look_at_flock(int operation)
{
    int fd = open("file", O_RDWR);
    check(fd >= 0, "open: %s", strerror(errno));
    int result = flock(fd, operation | LOCK_NB);
    close(fd);
    return result < 0 ? errno : 0;
}

int main(int argc, char **argv)
{
    bool with_flock = is_case(argc, argv, "flock"), shared = is_case(argc, argv, "shared");
    /* Whoever maps a locked file must not close a descriptor of it on the way: that would drop the locks. */
    bool mapped = is_case(argc, argv, "mapped");
    posix = mapped || is_case(argc, argv, "posix");
    write_file("file", "contents", 8);
    int fd = -1;
    if (with_flock || shared)
        need((fd = open("file", O_RDWR)) >= 0 && flock(fd, with_flock ? LOCK_EX : LOCK_SH) == 0);
    else
        fd = set_ranges();
    need(!mapped || mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
    /* One that belongs to the child. */
    pid_t holder = fork_child();
    if (holder == 0) {
        write_file("second", "contents", 8);
        int own = open("second", O_RDWR);
        struct flock lock = range(F_WRLCK, 3, 1);
        need(fcntl(own, F_SETLK, &lock) == 0);
        mark("holder");
        await_mark("looked");
        check(fcntl(fd, F_GETFD) >= 0, "the inherited descriptor is gone");
        finish();
    }
    await_mark("holder");

    ready();
    wait_go();

    pid_t child = fork_child();
    if (child == 0) {
        if (with_flock || shared) {
            same("a shared lock by somebody else", look_at_flock(LOCK_SH), with_flock ? EWOULDBLOCK : 0);
            same("an exclusive lock by somebody else", look_at_flock(LOCK_EX), EWOULDBLOCK);
        } else {
            look_at_ranges();
        }
        int second = open("second", O_RDWR);
        struct flock lock = range(F_WRLCK, 0, 0);
        check(fcntl(second, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK, "the lock of the first child is gone");
        same("start of the lock", lock.l_start, 3);
        same("owner of the lock", lock.l_pid, holder);
        finish();
    }
    reap(child);
    mark("looked");
    reap(holder);
    /* Locks go with what holds them. */
    if (with_flock || shared) {
        close(fd);
        same("an exclusive lock after the holders have gone", look_at_flock(LOCK_EX), 0);
    }
    finish();
}
