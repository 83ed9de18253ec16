/*
 * mem_sparse.c - a map of 8 GiB of which little is touched: it stays as sparse as it was.
 */
#include "victim.h"

#define SIZE (8ULL << 30)
#define STEP (64ULL << 20)
enum { SLACK_KIB = 1024 };

static bool present(const unsigned char *page)
{
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    check(fd >= 0, "pagemap: %s", strerror(errno));
    check(pread(fd, &entry, sizeof entry, (off_t)((uintptr_t)page / PAGE * sizeof entry)) == sizeof entry, "pagemap");
    close(fd);
    return entry >> 62 != 0;
}

int main(void)
{
    unsigned char *map = map_memory(SIZE, MAP_PRIVATE | MAP_NORESERVE);
    /* Without this a touched page could become a huge one. */
    madvise(map, SIZE, MADV_NOHUGEPAGE);
    for (unsigned long long at = 0; at < SIZE; at += STEP) {
        if (at / STEP % 2)
            map[at] = 0;
        else
            fill(map + at, PAGE, at);
    }
    long anon = proc_number("/proc/self/status", "RssAnon");
    ready();
    wait_go();

    long now = proc_number("/proc/self/status", "RssAnon");
    check(now <= anon + SLACK_KIB, "resident memory grew from %ld to %ld KiB", anon, now);
    for (unsigned long long at = 0; at < SIZE; at += STEP) {
        check(!present(map + at + PAGE), "the untouched page at %llu is there", at + PAGE);
        if (at / STEP % 2)
            check(all_zero(map + at, PAGE), "the zero page at %llu has contents", at);
        else
            check_pattern(map + at, PAGE, at);
    }
    check(all_zero(map + STEP / 2, PAGE), "an untouched page has contents");
    finish();
}
