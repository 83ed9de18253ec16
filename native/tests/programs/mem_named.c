/*
 * mem_named.c - anonymous memory that has been given names.
 */
#include "victim.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

int main(void)
{
    unsigned char *map = map_memory(4 * PAGE, MAP_PRIVATE), *shared = map_memory(4 * PAGE, MAP_SHARED);
    char line[512], shared_line[512], now[512];
    if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, map, 2 * PAGE, "first half") < 0)
        skip("no names for anonymous memory: %s", strerror(errno));
    fill(map, 4 * PAGE, 1);
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, shared, 4 * PAGE, "shared");
    need(map_line(map, NULL, line, sizeof line) && strstr(line, "[anon:first half]"));
    need(map_line(shared, NULL, shared_line, sizeof shared_line));
    ready();
    wait_go();
    map_line(map, NULL, now, sizeof now);
    same_text("map", now, line);
    map_line(shared, NULL, now, sizeof now);
    check(strncmp(now, shared_line, 40) == 0 && strstr(now, "shared"), "now \"%s\", was \"%s\"", now, shared_line);
    check_pattern(map, 4 * PAGE, 1);
    finish();
}
