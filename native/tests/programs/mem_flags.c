/*
 * mem_flags.c - what madvise() and mmap() flags leave in VmFlags, and what fork() then does with the maps.
 */
#include "victim.h"

enum { SIZE = 4 * PAGE, HUGE = 4 << 20 };

static const struct advice {
    const char *name;
    int advice;
    size_t size;
    const char *flag;
} advices[] = {
    {"DONTFORK", MADV_DONTFORK, SIZE, " dc"},     {"DONTDUMP", MADV_DONTDUMP, SIZE, " dd"},
    {"WIPEONFORK", MADV_WIPEONFORK, SIZE, " wf"}, {"HUGEPAGE", MADV_HUGEPAGE, HUGE, " hg"},
    {"NOHUGEPAGE", MADV_NOHUGEPAGE, SIZE, " nh"}, {"MERGEABLE", MADV_MERGEABLE, SIZE, " mg"},
    {"SEQUENTIAL", MADV_SEQUENTIAL, SIZE, " sr"}, {"RANDOM", MADV_RANDOM, SIZE, " rr"},
};

enum { N = sizeof advices / sizeof *advices };

static unsigned char *maps[N];
static char flags[N + 2][512];
static unsigned char *noreserve, *stack;

static unsigned char *map_at(size_t size, int more)
{
    unsigned char *p = map_memory(size, MAP_PRIVATE | more);
    fill(p, SIZE, 1);
    return p;
}

int main(void)
{
    char now[512];
    bool there[N];
    for (int i = 0; i < N; i++) {
        maps[i] = map_at(advices[i].size, 0);
        /* A kernel without KSM or THP refuses some. */
        there[i] = madvise(maps[i], advices[i].size, advices[i].advice) == 0;
        vm_flags(maps[i], flags[i], sizeof flags[i]);
        need(!there[i] || strstr(flags[i], advices[i].flag));
    }
    noreserve = map_at(SIZE, MAP_NORESERVE);
    vm_flags(noreserve, flags[N], sizeof flags[N]);
    stack = map_at(SIZE, MAP_STACK);
    vm_flags(stack, flags[N + 1], sizeof flags[N + 1]);

    ready();
    wait_go();

    for (int i = 0; i < N; i++) {
        vm_flags(maps[i], now, sizeof now);
        check(strcmp(now, flags[i]) == 0, "%s: now \"%s\", was \"%s\"", advices[i].name, now, flags[i]);
        check_pattern(maps[i], SIZE, 1);
    }
    vm_flags(noreserve, now, sizeof now);
    same_text("MAP_NORESERVE", now, flags[N]);
    vm_flags(stack, now, sizeof now);
    same_text("MAP_STACK", now, flags[N + 1]);

    pid_t pid = fork_child();
    if (pid == 0) {
        check(msync(maps[0], SIZE, MS_ASYNC) < 0 && errno == ENOMEM, "a DONTFORK map is in the child");
        check(all_zero(maps[2], SIZE), "a WIPEONFORK map has contents in the child");
        finish();
    }
    reap(pid);
    finish();
}
