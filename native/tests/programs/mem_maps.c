/*
 * mem_maps.c - five thousand maps that must not melt into each other.
 */
#include "victim.h"

enum { MAPS = 5000, TEXT = 1 << 20 };

static char before[TEXT], after[TEXT];

int main(void)
{
    unsigned char *area =
        mmap(NULL, (size_t)MAPS * 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(area != MAP_FAILED);
    for (int i = 0; i < MAPS; i++) {
        unsigned char *page = area + (size_t)i * 2 * PAGE;
        if (i % 10 == 0)
            fill(page, PAGE, (uint64_t)i);
        /* Every other page takes another protection, or goes away. */
        if (i % 3 == 0)
            need(munmap(page + PAGE, PAGE) == 0);
        else
            need(mprotect(page + PAGE, PAGE, i % 3 == 1 ? PROT_READ : PROT_NONE) == 0);
    }
    need(read_file("/proc/self/maps", before, sizeof before) > MAPS * 20);
    ready();
    wait_go();
    check(read_file("/proc/self/maps", after, sizeof after) > 0, "maps: %s", strerror(errno));
    same_lines("/proc/self/maps", after, before);
    for (int i = 0; i < MAPS; i += 10)
        check_pattern(area + (size_t)i * 2 * PAGE, PAGE, (uint64_t)i);
    finish();
}
