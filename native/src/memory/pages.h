/* pages.h - which pages of a process hold something, and reading them. */
#ifndef CAESURA_MEMORY_PAGES_H
#define CAESURA_MEMORY_PAGES_H

#include <stdbool.h>

#include "capture/capture.h"

/* A run of pages. */
struct page_run {
    uint64_t start, end;
};

struct page_runs {
    struct page_run *runs;
    size_t count, capacity;
};

void page_runs_free(struct page_runs *runs);
/** Appends a run, merged with the last one if it continues it. */
int page_runs_add(struct page_runs *runs, uint64_t start, uint64_t end, struct caesura_error *err);

/* How pages of one process are looked at. */
struct page_source {
    pid_t pid; /* a live thread */
    int inner_pid;
    int pagemap_fd;
    int mem_fd;
    bool no_scan;  /* the kernel lacks PAGEMAP_SCAN (before 6.7) */
    bool no_guard; /* ... or does not know guard pages (before 6.15) */
};

int page_source_open(const struct target *target, struct page_source *source, struct caesura_error *err);
void page_source_close(struct page_source *source);

/**
 * Appends the runs of [start, end) that are present or swapped, without the zero page; with own_copies only pages that
 * are not pages of a file.
 */
int pages_find(struct page_source *source, uint64_t start, uint64_t end, bool own_copies, struct page_runs *runs,
               struct caesura_error *err);
/** Appends the runs of guard pages in [start, end). */
int pages_find_guards(struct page_source *source, uint64_t start, uint64_t end, struct page_runs *runs,
                      struct caesura_error *err);
/** Copies the count runs into data, one after the other. readable: the map permits reading. */
int pages_read(const struct page_source *source, const struct page_run *runs, size_t count, bool readable,
               uint8_t *data, struct caesura_error *err);
/** True if size bytes (a multiple of 64) are zero. */
bool bytes_are_zero(const void *data, size_t size);

#endif
