/*
 * mem_shared.c - anonymous memory that a parent and two siblings share, each with other pieces of it, moved and protected.
 * Cases: pieces siblings untouched alias zero
 */
#include "victim.h"

enum { PAGES = 64, SIZE = PAGES * PAGE };

static unsigned char *memory;

static void say(int page, uint64_t seed)
{
    fill(memory + page * PAGE, PAGE, seed);
}

static void hear(const unsigned char *base, int page, uint64_t seed, const char *whom)
{
    check(mismatch(base + page * PAGE, PAGE, seed) < 0, "page %d does not hold what %s wrote", page, whom);
}

static void child_with_middle(void)
{
    need(munmap(memory, 16 * PAGE) == 0 && munmap(memory + 48 * PAGE, 16 * PAGE) == 0);
    need(mprotect(memory + 20 * PAGE, PAGE, PROT_READ) == 0);
    need(mprotect(memory + 21 * PAGE, PAGE, PROT_NONE) == 0);
    char line[512], now[512];
    need(map_line(memory + 20 * PAGE, NULL, line, sizeof line));
    mark("middle");
    wait_go();
    for (int page = 16; page < 48; page++)
        if (page != 21)
            hear(memory, page, (uint64_t)page, "the parent before");
    map_line(memory + 20 * PAGE, NULL, now, sizeof now);
    /* Its inode is another one. */
    check(strncmp(now, line, 40) == 0, "the read-only page is \"%s\", was \"%s\"", now, line);
    mark("middle.read");
    await_mark("moved.read");
    say(30, 1030);
    mark("middle.wrote");
    await_mark("moved.wrote");
    hear(memory, 31, 1031, "the sibling");
    await_mark("parent.wrote");
    check(mprotect(memory + 21 * PAGE, PAGE, PROT_READ) == 0, "mprotect: %s", strerror(errno));
    hear(memory, 21, 1021, "the parent");
    finish();
}

static void child_with_moved(void)
{
    /* Pages 8 to 15 move to the end of a room of their own, in the reverse order of halves. */
    unsigned char *room = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    need(room != MAP_FAILED);
    need(mremap(memory + 8 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 20 * PAGE) != MAP_FAILED);
    need(mremap(memory + 12 * PAGE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 8 * PAGE) != MAP_FAILED);
    mark("moved");
    wait_go();
    for (int i = 0; i < 4; i++) {
        check_pattern(room + (20 + i) * PAGE, PAGE, (uint64_t)(8 + i));
        check_pattern(room + (8 + i) * PAGE, PAGE, (uint64_t)(12 + i));
    }
    mark("moved.read");
    await_mark("middle.read");
    say(31, 1031);
    fill(room + 9 * PAGE, PAGE, 1013);
    mark("moved.wrote");
    await_mark("middle.wrote");
    hear(memory, 30, 1030, "the sibling");
    finish();
}

static void pieces(void)
{
    memory = map_memory(SIZE, MAP_SHARED);
    for (int page = 0; page < PAGES; page++)
        say(page, (uint64_t)page);
    pid_t middle = fork_child();
    if (middle == 0)
        child_with_middle();
    pid_t moved = fork_child();
    if (moved == 0)
        child_with_moved();
    await_mark("middle");
    await_mark("moved");
    ready();
    wait_go();
    await_mark("middle.read");
    await_mark("moved.read");
    say(21, 1021);
    mark("parent.wrote");
    await_mark("middle.wrote");
    await_mark("moved.wrote");
    for (int page = 0; page < PAGES; page++)
        hear(memory, page, (uint64_t)(page == 13 || page == 21 || page == 30 || page == 31 ? 1000 + page : page),
             "its owner");
    reap(middle);
    reap(moved);
}

static void sibling(int me)
{
    char mine[16], other[16];
    snprintf(mine, sizeof mine, "sibling%d", me);
    snprintf(other, sizeof other, "sibling%d", 1 - me);
    mark(mine);
    wait_go();
    hear(memory, 5, 5, "the parent before it let go");
    say(10 + me, (uint64_t)(100 + me));
    strcat(mine, ".wrote");
    strcat(other, ".wrote");
    mark(mine);
    await_mark(other);
    hear(memory, 11 - me, (uint64_t)(101 - me), "the sibling");
    finish();
}

/* The parent lets go of the memory: only the two children have it. */
static void siblings(void)
{
    pid_t pids[2];
    memory = map_memory(SIZE, MAP_SHARED);
    say(5, 5);
    for (int i = 0; i < 2; i++)
        if ((pids[i] = fork_child()) == 0)
            sibling(i);
    need(munmap(memory, SIZE) == 0);
    await_mark("sibling0");
    await_mark("sibling1");
    ready();
    wait_go();
    reap(pids[0]);
    reap(pids[1]);
}

/* Nobody has written to it, and only one process has it: a child that comes later still shares it. */
static void untouched(void)
{
    memory = map_memory(SIZE, MAP_SHARED);
    ready();
    wait_go();
    check(all_zero(memory, SIZE), "untouched memory is not zero");
    pid_t pid = fork_child();
    if (pid == 0) {
        say(7, 7);
        finish();
    }
    reap(pid);
    hear(memory, 7, 7, "the child");
}

/* mremap() of a shared map with an old size of zero maps the same memory once more. */
static void alias(void)
{
    memory = map_memory(SIZE, MAP_SHARED);
    unsigned char *again = mremap(memory + 16 * PAGE, 0, 32 * PAGE, MREMAP_MAYMOVE);
    need(again != MAP_FAILED);
    say(20, 20);
    need(mismatch(again + 4 * PAGE, PAGE, 20) < 0);
    need(munmap(memory, 18 * PAGE) == 0);
    ready();
    wait_go();
    check_pattern(again + 4 * PAGE, PAGE, 20);
    hear(memory, 20, 20, "this process");
    fill(again + 5 * PAGE, PAGE, 21);
    hear(memory, 21, 21, "this process through the other map");
}

/* /dev/zero mapped shared is anonymous shared memory by another way. */
static void zero_device(void)
{
    int fd = open("/dev/zero", O_RDWR);
    need(fd >= 0);
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    need(memory != MAP_FAILED);
    close(fd);
    say(3, 3);
    pid_t pid = fork_child();
    if (pid == 0) {
        mark("child");
        wait_go();
        hear(memory, 3, 3, "the parent before");
        say(4, 4);
        finish();
    }
    await_mark("child");
    ready();
    wait_go();
    reap(pid);
    hear(memory, 3, 3, "this process");
    hear(memory, 4, 4, "the child");
}

int main(int argc, char **argv)
{
    if (is_case(argc, argv, "pieces"))
        pieces();
    else if (is_case(argc, argv, "siblings"))
        siblings();
    else if (is_case(argc, argv, "untouched"))
        untouched();
    else if (is_case(argc, argv, "alias"))
        alias();
    else
        zero_device();
    finish();
}
