/*
 * files_world.h - what the tests of files/ share: a capture built by hand from real files in a folder of its own, a
 * context written from it to a temporary file, and a restore that reads it. Stands in for the flows of capture and restore.
 */
#ifndef CAESURA_TESTS_FILES_WORLD_H
#define CAESURA_TESTS_FILES_WORLD_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "context/codec.h"
#include "core/error.h"
#include "files/internal.h"

#pragma GCC diagnostic ignored "-Wunused-function"

#define LIMIT (8u << 20)

struct world {
    char root[64]; /* folder for the test's files */
    struct caesura_capture capture;
    struct restore restore;
    struct caesura_error err;
    int32_t context_fd;
    uint64_t context_bytes;
    uint64_t progress;
    char aside[96];
    const char *track[4];
    int fds_before;
};

static char told[1 << 16]; /* lines of capture_log(), capture_refuse() and restore_note() */

/* ---- what the flows bring along ---- */

static void tell(const char *prefix, const char *fmt, va_list args)
{
    size_t used = strlen(told);
    used += (size_t)snprintf(told + used, sizeof told - used, "%s", prefix);
    used += (size_t)vsnprintf(told + used, sizeof told - used, fmt, args);
    snprintf(told + used, sizeof told - used, "\n");
}

void capture_log(struct caesura_capture *capture, int level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tell(level == CAESURA_LOG_WARNING ? "warning: " : "log: ", fmt, args);
    va_end(args);
    capture->result.warnings += level == CAESURA_LOG_WARNING;
}

void capture_refuse(struct caesura_capture *capture, int pid, int fd, const char *remedy, const char *fmt, ...)
{
    va_list args;
    char prefix[512];
    snprintf(prefix, sizeof prefix, "refused: %d %d (%s) ", pid, fd, remedy);
    va_start(args, fmt);
    tell(prefix, fmt, args);
    va_end(args);
    capture->refusals++;
}

struct target *capture_target(const struct caesura_capture *capture, int32_t inner_pid)
{
    (void)capture;
    (void)inner_pid;
    return NULL;
}

void capture_progress(struct caesura_capture *capture, uint64_t bytes)
{
    capture->progress_done += bytes;
}

char *restore_path(const struct restore *restore, const char *path)
{
    for (size_t i = 0; i < restore->options.n_relocations; i++) {
        const struct relocation *relocation = &restore->options.relocations[i];
        char *moved;
        if (identity_is_below(path, relocation->from))
            return asprintf(&moved, "%s%s", relocation->to, path + strlen(relocation->from)) < 0 ? NULL : moved;
    }
    return strdup(path);
}

int restore_keep_fd(const struct restore *restore, int fd, struct caesura_error *err)
{
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, restore->fd_base);
    if (kept < 0)
        error_errno(err, errno, "cannot keep a descriptor");
    close(fd);
    return kept;
}

void restore_note(const struct restore *restore, const char *fmt, ...)
{
    va_list args;
    (void)restore;
    va_start(args, fmt);
    tell("note: ", fmt, args);
    va_end(args);
}

/* The same to these tests: whether it is of a batch job is looked at elsewhere. */
void restore_tell(const struct restore *restore, const char *fmt, ...)
{
    va_list args;
    (void)restore;
    va_start(args, fmt);
    tell("note: ", fmt, args);
    va_end(args);
}

/* ---- files ---- */

/* A path below the world's folder; good until four more were made. */
static const char *in(const struct world *w, const char *name)
{
    static char paths[4][8192];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", w->root, name);
    return path;
}

static void put(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    close(fd);
}

static void put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}

static void add_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* size bytes that look like nothing else with that seed, none of their blocks zero. */
static uint8_t *pattern(size_t size, uint32_t seed)
{
    uint8_t *data = malloc(size + 1);
    uint64_t x = seed * 2654435761u + 1;
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(x >> 56) | 1;
    }
    return data;
}

static void put_pattern(const char *path, size_t size, uint32_t seed)
{
    uint8_t *data = pattern(size, seed);
    put(path, data, size);
    free(data);
}

static void expect_fd(int fd, const void *data, size_t size)
{
    struct stat st;
    uint8_t *now = malloc(size + 1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_int_equal(pread(fd, now, size + 1, 0), (ssize_t)size);
    /* memcmp(): cmocka prints each differing byte. */
    assert_true(memcmp(now, data, size) == 0);
    free(now);
}

static void expect(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        print_error("%s: %s\n", path, strerror(errno));
    assert_true(fd >= 0);
    expect_fd(fd, data, size);
    close(fd);
}

static void expect_text(const char *path, const char *text)
{
    expect(path, text, strlen(text));
}

static void expect_pattern(const char *path, size_t size, uint32_t seed)
{
    uint8_t *data = pattern(size, seed);
    expect(path, data, size);
    free(data);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st;
}

static void set_mtime(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void expect_told(const char *part)
{
    if (!strstr(told, part))
        print_error("nothing told has \"%s\":\n%s", part, told);
    assert_non_null(strstr(told, part));
}

static void expect_message(const struct world *w, int rc, int code, const char *part)
{
    if (rc != -code || !strstr(w->err.message, part))
        print_error("%d, not %d, or no \"%s\" in: %s\n", rc, -code, part, w->err.message);
    assert_int_equal(rc, -code);
    assert_int_equal(w->err.code, code);
    assert_non_null(strstr(w->err.message, part));
    assert_true(w->err.remedy[0] != 0);
}

/* ---- a world ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static int count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static int world_open(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    told[0] = 0;
    w->context_fd = -1;
    w->fds_before = count_fds();
    /* /tmp may be a link, and paths of open files never hold one. */
    char *tmp = realpath("/tmp", NULL);
    snprintf(w->root, sizeof w->root, "%.30s/caesura-files-XXXXXX", tmp);
    free(tmp);
    assert_non_null(mkdtemp(w->root));
    snprintf(w->aside, sizeof w->aside, "%s.aside", w->root);
    w->capture.request.size = sizeof w->capture.request;
    w->capture.request.copy_limit_bytes = LIMIT;
    *state = w;
    return 0;
}

/* The first restore over a context; again for another one from the same. */
static void restore_begin(struct world *w)
{
    assert_int_equal(lseek(w->context_fd, 0, SEEK_SET), 0);
    w->restore = (struct restore){.fd_base = 500, .options = {.aside = w->aside}};
    int rc = context_source_open(&w->restore.source, &w->context_fd, 1, false, &w->err);
    if (rc)
        print_error("%s\n", w->err.message);
    assert_int_equal(rc, 0);
    w->restore.context = &w->restore.source.context;
}

static void restore_end(struct world *w)
{
    files_end(&w->restore);
    context_source_free(&w->restore.source);
}

static int world_close(void **state)
{
    struct world *w = *state;
    if (w->context_fd >= 0) {
        restore_end(w);
        close(w->context_fd);
    }
    files_free(&w->capture);
    context_free(&w->capture.context);
    int leaked = count_fds() - w->fds_before;
    if (leaked)
        print_error("%d descriptors were left open\n", leaked);
    nftw(w->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    nftw(w->aside, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(w);
    return leaked ? -1 : 0;
}

/* ---- capture ---- */

/* Notes a file as /proc would show it; fd -1: mapped. */
static uint32_t note_as(struct world *w, const char *path, int fd, const struct stat *st, uint32_t flags)
{
    uint32_t id = 0;
    struct file_sighting sighting = {.path = path, .st = st, .fd = fd, .flags = flags, .pid = 7, .holder_fd = fd};
    int rc = files_note(&w->capture, &sighting, &id, &w->err);
    if (rc)
        print_error("%s\n", w->err.message);
    assert_int_equal(rc, 0);
    return id;
}

/* Notes an open descriptor under the name that /proc/self/fd gives it. */
static uint32_t note_fd(struct world *w, int fd, uint32_t flags)
{
    char link[64], path[8192] = "";
    struct stat st;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    assert_true(readlink(link, path, sizeof path - 1) > 0);
    assert_int_equal(fstat(fd, &st), 0);
    return note_as(w, path, fd, &st, flags);
}

/* Opens, notes and closes a file. */
static uint32_t note(struct world *w, const char *path, int open_flags, uint32_t flags)
{
    int fd = open(path, open_flags | O_CLOEXEC);
    assert_true(fd >= 0);
    uint32_t id = note_fd(w, fd, flags);
    close(fd);
    return id;
}

static uint32_t note_mapped(struct world *w, const char *path, uint32_t flags)
{
    struct stat st = stat_of(path);
    return note_as(w, path, -1, &st, flags | FILE_MAPPED);
}

static struct file *file_of(struct world *w, uint32_t id)
{
    return context_file(&w->capture.context, id);
}

static void decide(struct world *w)
{
    w->capture.request.track_paths = w->track[0] ? w->track : NULL;
    int rc = files_decide(&w->capture, &w->err);
    if (rc)
        print_error("%s\n", w->err.message);
    assert_int_equal(rc, 0);
}

static int write_context(struct world *w)
{
    static const uint8_t set_id[16] = {1};
    struct context_writer writer;
    struct context *context = &w->capture.context;
    int rc = 0;

    w->context_fd = memfd_create("context", MFD_CLOEXEC);
    assert_true(w->context_fd >= 0);
    struct buffer scope = {0};
    assert_int_equal(context_writer_start(&writer, w->context_fd, set_id, 0, 1, &w->err), 0);
    record_encode_scope(&scope, &context->scope);
    assert_int_equal(context_writer_section(&writer, SECTION_SCOPE, 0, &scope, &w->err), 0);
    buffer_free(&scope);
    for (uint32_t i = 0; i < context->n_files; i++) {
        struct buffer payload = {0};
        record_encode_file(&payload, &context->files[i]);
        assert_int_equal(context_writer_section(&writer, SECTION_FILE, context->files[i].id, &payload, &w->err), 0);
        buffer_free(&payload);
    }
    for (uint32_t i = 0; i < context->n_tracked; i++) {
        struct buffer payload = {0};
        record_encode_tracked(&payload, &context->tracked[i]);
        assert_int_equal(context_writer_section(&writer, SECTION_TRACKED, i, &payload, &w->err), 0);
        buffer_free(&payload);
    }
    rc = files_write(&w->capture, &writer, &w->err);
    if (!rc)
        rc = context_writer_end(&writer, &w->err);
    w->context_bytes = writer.offset;
    context_writer_free(&writer);
    if (rc) {
        close(w->context_fd);
        w->context_fd = -1;
    }
    return rc;
}

/* The rest of a checkpoint, and the start of a restart from it. */
static void save(struct world *w)
{
    decide(w);
    int rc = write_context(w);
    if (rc)
        print_error("%s\n", w->err.message);
    assert_int_equal(rc, 0);
    restore_begin(w);
}

/* ---- restore ---- */

static void roll_back(struct world *w)
{
    int rc = files_check(&w->restore, &w->err);
    if (!rc)
        rc = files_roll_back(&w->restore, &w->err);
    if (rc)
        print_error("%s\n", w->err.message);
    assert_int_equal(rc, 0);
}

static int open_file(struct world *w, uint32_t id, int flags)
{
    int fd = files_open(&w->restore, id, flags, &w->err);
    if (fd < 0)
        print_error("%s\n", w->err.message);
    assert_true(fd >= 0);
    return fd;
}

/* How many files of the aside folder have that part in their names; found is the path of the last. */
static int count_kept(const struct world *w, const char *part, char *found, size_t size)
{
    DIR *folder = opendir(w->aside);
    struct dirent *entry;
    int count = 0;

    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.' || !strstr(entry->d_name, part))
            continue;
        snprintf(found, size, "%s/%s", w->aside, entry->d_name);
        count++;
    }
    if (folder)
        closedir(folder);
    return count;
}

/* The only one of them. */
static const char *kept(const struct world *w, const char *part)
{
    static char found[600];
    assert_int_equal(count_kept(w, part, found, sizeof found), 1);
    return found;
}

static int all_kept(const struct world *w)
{
    char found[600];
    return count_kept(w, "", found, sizeof found);
}

/* ---- being somebody else ---- */

/* Runs the rest as an ordinary user; where that is not possible we are one already. */
static void become_user(const struct world *w)
{
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(w->root, 65534, 65534), 0);
    assert_int_equal(setegid(65534), 0);
    assert_int_equal(seteuid(65534), 0);
    /* The change made /proc/self root's. */
    prctl(PR_SET_DUMPABLE, 1);
}

static void become_root_again(void)
{
    if (getuid() == 0) {
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(setegid(0), 0);
    }
}

static int world_close_as_root(void **state)
{
    become_root_again();
    return world_close(state);
}

#define files_test(name) cmocka_unit_test_setup_teardown(name, world_open, world_close_as_root)

#endif
