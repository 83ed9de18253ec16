/*
 * mem_shm.c - POSIX shared memory: open, mapped only, removed by name, and shared with a child.
 * Cases: open mapped removed child
 */
#include "victim.h"

enum { SIZE = 20 * PAGE };

static char name[256];

/* Unique to the working folder, so that the driver can clean up after a victim that died: see shm_prefix there. */
static void choose_name(void)
{
    const char *folder = strrchr(victim_folder, '/');
    snprintf(name, sizeof name, "/caesura-victim.%s", folder ? folder + 1 : "x");
}

int main(int argc, char **argv)
{
    bool open_case = is_case(argc, argv, "open"), removed = is_case(argc, argv, "removed");
    choose_name();
    shm_unlink(name);
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0640);
    need(fd >= 0);
    need(ftruncate(fd, SIZE) == 0);
    unsigned char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    need(map != MAP_FAILED);
    fill(map, SIZE / 2, 4);
    need(lseek(fd, 1000, SEEK_SET) == 1000);
    if (open_case)
        need(munmap(map, SIZE) == 0);
    else
        close(fd);
    if (removed)
        need(shm_unlink(name) == 0);

    pid_t child = 0;
    if (is_case(argc, argv, "child") && (child = fork_child()) == 0) {
        mark("child");
        wait_go();
        check_pattern(map, SIZE / 2, 4);
        fill(map, PAGE, 5);
        finish();
    }
    if (child)
        await_mark("child");
    ready();
    wait_go();

    if (open_case) {
        same("offset", lseek(fd, 0, SEEK_CUR), 1000);
        map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        check(map != MAP_FAILED, "mmap: %s", strerror(errno));
        if (map == MAP_FAILED)
            finish();
    }
    if (child) {
        reap(child);
        check_pattern(map, PAGE, 5);
    } else {
        check_pattern(map, SIZE / 2, 4);
    }
    check(all_zero(map + SIZE / 2, SIZE / 2), "the untouched half is not zero");

    int again = shm_open(name, O_RDWR, 0);
    if (removed) {
        check(again < 0, "the removed name is back");
    } else {
        struct stat st = {0};
        unsigned char byte = 0;
        check(again >= 0, "%s is gone: %s", name, strerror(errno));
        check(fstat(again, &st) == 0, "fstat: %s", strerror(errno));
        same("size", st.st_size, SIZE);
        same("mode", st.st_mode & 07777, 0640);
        map[0] = 200;
        check(pread(again, &byte, 1, 0) == 1 && byte == 200, "the name leads to other memory than the map");
        shm_unlink(name);
    }
    finish();
}
