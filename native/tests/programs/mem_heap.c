/*
 * mem_heap.c - blocks of malloc(), memory from sbrk(), and a heap that grows and shrinks afterwards.
 */
#include "victim.h"

enum { BLOCKS = 3000, OWN = 300000, LARGE = 40 << 20 };

static unsigned char *blocks[BLOCKS];

static size_t size_of(int i)
{
    return 16 + (size_t)(victim_mix((uint64_t)i) % 20000);
}

int main(void)
{
    char line[512], now[512];

    for (int i = 0; i < BLOCKS; i++) {
        need((blocks[i] = malloc(size_of(i))) != NULL);
        fill(blocks[i], size_of(i), (uint64_t)i);
    }
    for (int i = 0; i < BLOCKS; i += 3)
        free(blocks[i]);
    unsigned char *large = malloc(LARGE);
    need(large);
    fill(large, LARGE, 12345);
    unsigned char *own = sbrk(OWN);
    need(own != (void *)-1);
    fill(own, OWN, 99);
    unsigned char *end = sbrk(0);
    need(map_line(own, NULL, line, sizeof line) && strstr(line, "[heap]"));

    ready();
    wait_go();

    check(sbrk(0) == (void *)end, "the break is %p, was %p", sbrk(0), (void *)end);
    check(map_line(own, NULL, now, sizeof now), "the heap is gone");
    same_text("the heap's line in maps", now, line);
    check_pattern(own, OWN, 99);
    check_pattern(large, LARGE, 12345);
    for (int i = 0; i < BLOCKS; i++)
        if (i % 3)
            check_pattern(blocks[i], size_of(i), (uint64_t)i);

    unsigned char *more = sbrk(1 << 20);
    check(more == end, "sbrk() went on at %p, not at %p: %s", (void *)more, (void *)end, strerror(errno));
    if (more == end) {
        check(all_zero(more, 1 << 20), "new heap is not zero");
        fill(more, 1 << 20, 7);
        check_pattern(more, 1 << 20, 7);
        check(brk(end) == 0 && sbrk(0) == (void *)end, "the heap does not shrink");
    }
    for (int i = 0; i < BLOCKS; i += 3) {
        blocks[i] = malloc(size_of(i));
        check(blocks[i] != NULL, "malloc");
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    free(large);
    finish();
}
