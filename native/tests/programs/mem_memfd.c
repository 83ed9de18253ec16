/*
 * mem_memfd.c - memory files: open, mapped only, sealed, and private maps of one.
 * Cases: open mapped sealed private
 */
#include <linux/memfd.h>

#include "victim.h"

enum { SIZE = 20 * PAGE + 904 };

int main(int argc, char **argv)
{
    bool opened = is_case(argc, argv, "open"), sealed = is_case(argc, argv, "sealed");
    bool private = is_case(argc, argv, "private");
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    char link[256] = "", now[256] = "", path[64];
    int fd = (int)syscall(SYS_memfd_create, "verse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    need(fd >= 0);
    need(ftruncate(fd, SIZE) == 0);
    unsigned char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    need(map != MAP_FAILED);
    fill(map, SIZE, 9);
    if (opened || sealed)
        need(munmap(map, SIZE) == 0);
    if (sealed)
        need(fcntl(fd, F_ADD_SEALS, seals) == 0);
    if (private) {
        need(munmap(map, SIZE) == 0);
        map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        need(map != MAP_FAILED);
        fill(map, PAGE, 10);
    }
    need(lseek(fd, 77, SEEK_SET) == 77);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    need(readlink(path, link, sizeof link - 1) > 0);
    if (is_case(argc, argv, "mapped"))
        close(fd);

    ready();
    wait_go();

    if (opened || sealed || private) {
        check(readlink(path, now, sizeof now - 1) > 0, "readlink: %s", strerror(errno));
        same_text("link of the descriptor", now, link);
        same("offset", lseek(fd, 0, SEEK_CUR), 77);
        same("size", lseek(fd, 0, SEEK_END), SIZE);
        same("close-on-exec", fcntl(fd, F_GETFD), FD_CLOEXEC);
        same("seals", fcntl(fd, F_GET_SEALS), sealed ? seals : 0);
    }
    if (opened || sealed) {
        map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
        check(map != MAP_FAILED, "mmap: %s", strerror(errno));
        if (map == MAP_FAILED)
            finish();
    }
    if (private) {
        unsigned char file[PAGE];
        check_pattern(map, PAGE, 10);
        check(pread(fd, file, PAGE, 0) == PAGE, "pread: %s", strerror(errno));
        check_pattern(file, PAGE, 9);
    } else {
        check_pattern(map, SIZE, 9);
    }
    if (sealed) {
        check(write(fd, "x", 1) < 0 && errno == EPERM, "a sealed file can be written");
        check(ftruncate(fd, 0) < 0 && errno == EPERM, "a sealed file can shrink");
    } else if (opened) {
        check(write(fd, "x", 1) == 1, "write: %s", strerror(errno));
    }
    finish();
}
