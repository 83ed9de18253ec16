#include "memory/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/error.h"
#include "core/kernel_abi.h"

#define SCAN_REGIONS 1024

/* Bits of an entry of /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst. */
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_FILE (1ull << 61)
#define ENTRY_GUARD (1ull << 58)

void page_runs_free(struct page_runs *runs)
{
    free(runs->runs);
    *runs = (struct page_runs){0};
}

int page_runs_add(struct page_runs *runs, uint64_t start, uint64_t end, struct caesura_error *err)
{
    if (runs->count && runs->runs[runs->count - 1].end == start) {
        runs->runs[runs->count - 1].end = end;
        return 0;
    }
    if (runs->count == runs->capacity) {
        size_t want = runs->capacity ? runs->capacity * 2 : 256;
        struct page_run *grown = realloc(runs->runs, want * sizeof *grown);
        if (!grown)
            return error_errno(err, ENOMEM, "cannot hold the list of pages");
        runs->runs = grown;
        runs->capacity = want;
    }
    runs->runs[runs->count++] = (struct page_run){start, end};
    return 0;
}

static int open_proc(pid_t pid, const char *name, int *fd, struct caesura_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? error_errno(err, errno, "cannot open %s", path) : 0;
}

int page_source_open(const struct target *target, struct page_source *source, struct caesura_error *err)
{
    *source =
        (struct page_source){.pid = target->live_tid, .inner_pid = target->inner_pid, .pagemap_fd = -1, .mem_fd = -1};
    int rc = open_proc(source->pid, "pagemap", &source->pagemap_fd, err);
    if (!rc)
        rc = open_proc(source->pid, "mem", &source->mem_fd, err);
    if (rc)
        page_source_close(source);
    return rc;
}

void page_source_close(struct page_source *source)
{
    if (source->pagemap_fd >= 0)
        close(source->pagemap_fd);
    if (source->mem_fd >= 0)
        close(source->mem_fd);
    source->pagemap_fd = source->mem_fd = -1;
}

/* One PAGEMAP_SCAN from start; *next is where to go on. Negative errno if the kernel cannot. */
static int scan(struct page_source *source, uint64_t start, uint64_t end, struct pm_scan_arg *arg,
                struct page_runs *runs, uint64_t *next, struct caesura_error *err)
{
    struct page_region regions[SCAN_REGIONS];

    arg->size = sizeof *arg;
    arg->start = start;
    arg->end = end;
    arg->vec = (uint64_t)regions;
    arg->vec_len = SCAN_REGIONS;
    int found = ioctl(source->pagemap_fd, PAGEMAP_SCAN, arg);
    if (found < 0)
        return -errno;
    for (int i = 0; i < found; i++) {
        int rc = page_runs_add(runs, regions[i].start, regions[i].end, err);
        if (rc)
            return rc;
    }
    *next = arg->walk_end;
    return 0;
}

static int scan_all(struct page_source *source, uint64_t start, uint64_t end, struct pm_scan_arg arg,
                    struct page_runs *runs, struct caesura_error *err)
{
    while (start < end) {
        int rc = scan(source, start, end, &arg, runs, &start, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* The same from the entries of pagemap, for kernels before 6.7. The zero page cannot be told there; readers look for zeros. */
static int entries(struct page_source *source, uint64_t start, uint64_t end, uint64_t wanted, uint64_t unwanted,
                   struct page_runs *runs, struct caesura_error *err)
{
    uint64_t block[512];

    while (start < end) {
        size_t pages = (end - start) / ARCH_PAGE_SIZE;
        if (pages > 512)
            pages = 512;
        ssize_t got = pread(source->pagemap_fd, block, pages * 8, (off_t)(start / ARCH_PAGE_SIZE * 8));
        if (got <= 0)
            return error_errno(err, got ? errno : EIO, "cannot read the page map of process %d", source->inner_pid);
        for (ssize_t i = 0; i < got / 8; i++, start += ARCH_PAGE_SIZE) {
            int rc = (block[i] & wanted) && !(block[i] & unwanted)
                         ? page_runs_add(runs, start, start + ARCH_PAGE_SIZE, err)
                         : 0;
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int scan_error(const struct page_source *source, int rc, struct caesura_error *err)
{
    return error_errno(err, -rc, "cannot scan the pages of process %d", source->inner_pid);
}

int pages_find(struct page_source *source, uint64_t start, uint64_t end, bool own_copies, struct page_runs *runs,
               struct caesura_error *err)
{
    uint64_t never = PAGE_IS_PFNZERO | (own_copies ? PAGE_IS_FILE : 0);

    /* Asking for PAGE_IS_FILE makes the scan four times slower, so only where it matters. */
    while (!source->no_scan) {
        uint64_t absent = never | (source->no_guard ? 0 : PAGE_IS_GUARD);
        struct pm_scan_arg arg = {.category_inverted = absent,
                                  .category_mask = absent,
                                  .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                                  .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED};
        size_t before = runs->count;
        int rc = scan_all(source, start, end, arg, runs, err);
        if (!rc)
            return 0;
        if (runs->count != before || (rc != -EINVAL && rc != -ENOTTY))
            return scan_error(source, rc, err);
        if (rc == -EINVAL && !source->no_guard)
            source->no_guard = true;
        else
            source->no_scan = true;
    }
    return entries(source, start, end, ENTRY_PRESENT | ENTRY_SWAPPED, ENTRY_GUARD | (own_copies ? ENTRY_FILE : 0), runs,
                   err);
}

int pages_find_guards(struct page_source *source, uint64_t start, uint64_t end, struct page_runs *runs,
                      struct caesura_error *err)
{
    struct pm_scan_arg arg = {.category_mask = PAGE_IS_GUARD, .return_mask = PAGE_IS_GUARD};

    if (source->no_scan || source->no_guard)
        return 0;
    int rc = scan_all(source, start, end, arg, runs, err);
    if (rc == -EINVAL || rc == -ENOTTY) {
        source->no_guard = true;
        return 0;
    }
    return rc ? scan_error(source, rc, err) : 0;
}

static int read_forced(const struct page_source *source, const struct page_run *run, uint8_t *data,
                       struct caesura_error *err)
{
    for (uint64_t at = run->start; at < run->end;) {
        ssize_t got = pread(source->mem_fd, data + (at - run->start), run->end - at, (off_t)at);
        if (got <= 0)
            return error_errno(err, got ? errno : EIO, "cannot read memory of process %d at %#llx", source->inner_pid,
                               (unsigned long long)at);
        at += (uint64_t)got;
    }
    return 0;
}

int pages_read(const struct page_source *source, const struct page_run *runs, size_t count, bool readable,
               uint8_t *data, struct caesura_error *err)
{
    struct iovec there[256];
    uint8_t *at = data;

    for (size_t first = 0; first < count;) {
        size_t n = 0, bytes = 0;
        for (; first + n < count && n < 256; n++) {
            there[n] = (struct iovec){(void *)runs[first + n].start, runs[first + n].end - runs[first + n].start};
            bytes += there[n].iov_len;
        }
        struct iovec here = {at, bytes};
        if (!readable || process_vm_readv(source->pid, &here, 1, there, n, 0) != (ssize_t)bytes) {
            /* What the program itself may not read is read with a tracer's right. */
            uint8_t *to = at;
            for (size_t i = 0; i < n; i++) {
                int rc = read_forced(source, &runs[first + i], to, err);
                if (rc)
                    return rc;
                to += there[i].iov_len;
            }
        }
        at += bytes;
        first += n;
    }
    return 0;
}

bool bytes_are_zero(const void *data, size_t size)
{
    const uint64_t *words = data;

    /* Data shows at its first words, zero pages need the whole page: the compiler makes vectors of the inner loop. */
    for (size_t i = 0; i < size / 8; i += 8) {
        uint64_t any = 0;
        for (size_t k = 0; k < 8; k++)
            any |= words[i + k];
        if (any)
            return false;
    }
    return true;
}
