/*
 * mem_anon.c - private anonymous maps of every protection, each with contents that must come back.
 */
#include "victim.h"

enum { PAGES = 16, SIZE = PAGES * PAGE };

static const int protections[] = {
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    PROT_READ | PROT_WRITE,
    PROT_EXEC,
    PROT_READ | PROT_EXEC,
    PROT_WRITE | PROT_EXEC,
    PROT_READ | PROT_WRITE | PROT_EXEC,
};

enum { KINDS = sizeof protections / sizeof *protections, LARGE = 24 << 20 };

static unsigned char *maps[2 * KINDS];
static char lines[2 * KINDS][512];

int main(void)
{
    char line[512];
    unsigned char *large = map_memory(LARGE, MAP_PRIVATE);
    fill(large, LARGE, 77);

    /* Two of each kind: with and without room in the accounting, some pages full, some untouched. */
    for (int i = 0; i < 2 * KINDS; i++) {
        maps[i] = map_memory(SIZE, MAP_PRIVATE | (i >= KINDS ? MAP_NORESERVE : 0));
        for (int page = 0; page < PAGES; page += 2)
            fill(maps[i] + page * PAGE, PAGE, (uint64_t)(i * PAGES + page));
        need(mprotect(maps[i], SIZE, protections[i % KINDS]) == 0);
    }
    for (int i = 0; i < 2 * KINDS; i++)
        need(map_line(maps[i], NULL, lines[i], sizeof lines[i]));

    ready();
    wait_go();

    for (int i = 0; i < 2 * KINDS; i++) {
        check(map_line(maps[i], NULL, line, sizeof line), "map %d is gone", i);
        same_text("map", line, lines[i]);
    }
    for (int i = 0; i < 2 * KINDS; i++) {
        check(mprotect(maps[i], SIZE, PROT_READ | PROT_WRITE) == 0, "mprotect: %s", strerror(errno));
        for (int page = 0; page < PAGES; page++) {
            unsigned char *p = maps[i] + page * PAGE;
            if (page % 2 == 0)
                check_pattern(p, PAGE, (uint64_t)(i * PAGES + page));
            else
                check(all_zero(p, PAGE), "page %d of map %d was zero", page, i);
        }
        fill(maps[i], SIZE, 1);
    }
    check_pattern(large, LARGE, 77);
    finish();
}
