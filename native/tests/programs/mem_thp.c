/*
 * mem_thp.c - memory in transparent huge pages: whole ones, and one that was split.
 */
#include "victim.h"

enum { HUGE = 2 << 20, COUNT = 4, SIZE = COUNT * HUGE };

static long huge_kib(const unsigned char *map)
{
    char line[512] = "";
    map_line(map, "AnonHugePages:", line, sizeof line);
    return strtol(line + strlen("AnonHugePages:"), NULL, 10);
}

int main(void)
{
    unsigned char *area = map_memory(SIZE + HUGE, MAP_PRIVATE);
    unsigned char *map = (unsigned char *)(((uintptr_t)area + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
    char flags[512], now[512];
    if (madvise(map, SIZE, MADV_HUGEPAGE) < 0)
        skip("no transparent huge pages: %s", strerror(errno));
    fill(map, SIZE, 1);
    if (huge_kib(map) == 0)
        skip("the kernel gave no huge page");
    /* The last one is split by a hole. */
    need(madvise(map + SIZE - HUGE + 8 * PAGE, PAGE, MADV_DONTNEED) == 0);
    vm_flags(map, flags, sizeof flags);

    ready();
    wait_go();

    check_pattern(map, SIZE - HUGE + 8 * PAGE, 1);
    check(all_zero(map + SIZE - HUGE + 8 * PAGE, PAGE), "the hole has contents");
    for (size_t at = SIZE - HUGE + 9 * PAGE; at < SIZE; at++)
        if (map[at] != pattern_byte(1, at)) {
            check(false, "contents change at byte %zu", at);
            break;
        }
    vm_flags(map, now, sizeof now);
    same_text("VmFlags", now, flags);
    finish();
}
