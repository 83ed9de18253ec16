/*
 * mem_overlap.c - shared memory without a descriptor, mapped by two maps that overlap, the later part at the lower address.
 */
#include "victim.h"

enum { PAGES = 8, SHIFT = 4 };

int main(void)
{
    int fd = memfd_create("overlap", 0);
    unsigned char *area = mmap(NULL, 3 * PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(fd >= 0 && area != MAP_FAILED && ftruncate(fd, 16 * PAGE) == 0);
    unsigned char *late = mmap(area, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, SHIFT * PAGE);
    unsigned char *early =
        mmap(area + 2 * PAGES * PAGE, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    need(late != MAP_FAILED && early != MAP_FAILED && close(fd) == 0);
    for (int page = 0; page < PAGES; page++)
        fill(early + page * PAGE, PAGE, (uint64_t)page);
    for (int page = SHIFT; page < PAGES; page++)
        fill(late + page * PAGE, PAGE, (uint64_t)(100 + page));
    ready();
    wait_go();
    for (int page = 0; page < PAGES; page++) {
        check_pattern(early + page * PAGE, PAGE, (uint64_t)page);
        check_pattern(late + page * PAGE, PAGE, (uint64_t)(page < SHIFT ? page + SHIFT : 100 + page));
    }
    early[SHIFT * PAGE] = 200;
    same("the same page through the other map", late[0], 200);
    finish();
}
