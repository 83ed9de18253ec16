/*
 * mem_droppable.c - memory that the kernel may drop at any time, as getrandom() of the vdso keeps its state in: it is whole or
 * zero. test_vdso.py looks that a context does not hold it: two restarts of one context would give the same random numbers.
 */
#include "victim.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

enum { PAGES = 8, SEED = 4711 };

int main(void)
{
    unsigned char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        skip("MAP_DROPPABLE: %s", strerror(errno));
    for (int i = 0; i < PAGES; i++)
        fill(memory + i * PAGE, PAGE, SEED);
    ready();
    wait_go();
    for (int i = 0; i < PAGES; i++)
        check(all_zero(memory + i * PAGE, PAGE) || mismatch(memory + i * PAGE, PAGE, SEED) < 0, "page %d", i);
    char flags[256];
    vm_flags(memory, flags, sizeof flags);
    check(strstr(flags, " dp"), "the flags are %s", flags);
    fill(memory, PAGE, SEED + 1);
    check_pattern(memory, PAGE, SEED + 1);
    finish();
}
