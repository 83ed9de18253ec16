#include "files/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"

struct census {
    struct caesura_capture *capture;
    struct tracked *tracked;
};

static bool enter(void *data, const char *path, const struct stat *st)
{
    const struct census *census = data;
    const char *exclude = census->tracked->exclude;

    (void)st;
    return !*exclude || !identity_is_below(path, exclude);
}

static int take_file(void *data, int folder_fd, const char *name, const char *path, const struct stat *st,
                     struct caesura_error *err)
{
    struct census *census = data;
    struct caesura_capture *capture = census->capture;

    (void)folder_fd;
    (void)name;
    if (!enter(data, path, st))
        return 0;
    /* By name as well: each hard link is a file of the census. */
    uint32_t index = file_set_find(capture, st, false, path);
    if (index == UINT32_MAX) {
        int rc = file_set_add(capture, st, FILE_REGULAR, path, &index, err);
        if (rc)
            return rc;
    }
    struct file *file = &capture->context.files[index];
    /* Paths of --track may overlap; each counts what is below it. */
    file->flags |= FILE_TRACKED;
    census->tracked->files++;
    census->tracked->bytes += file->size;
    return 0;
}

static int trouble(void *data, const char *path, int errno_value, struct caesura_error *err)
{
    struct census *census = data;

    if (errno_value == EXDEV) {
        capture_log(census->capture, CAESURA_LOG_WARNING, "%s is another file system than %s: it is not tracked", path,
                    census->tracked->path);
        return 0;
    }
    error_errno(err, errno_value, "cannot look at %s, which --track asks for", path);
    return error_hint(err, "make it readable, or track another path");
}

/* A path that does not exist yet is tracked too: everything that comes there is later. */
static char *canonical(const char *path)
{
    char *real = realpath(path, NULL);
    if (real || errno != ENOENT)
        return real;
    auto_free char *parent = strdup(path);
    char *slash = parent ? strrchr(parent, '/') : NULL;
    if (!slash || slash == parent)
        return strdup(path);
    *slash = 0;
    auto_free char *above = canonical(parent);
    char *joined = NULL;
    if (above && asprintf(&joined, "%s/%s", strcmp(above, "/") == 0 ? "" : above, slash + 1) < 0)
        joined = NULL;
    return joined;
}

static int take_path(struct caesura_capture *capture, const char *path, struct caesura_error *err)
{
    struct track_visitor visitor = {.enter = enter, .file = take_file, .trouble = trouble};
    size_t length = strlen(path);
    auto_free char *trimmed = strdup(path);

    if (path[0] != '/')
        return error_set(err, CAESURA_EINVAL_, "--track needs an absolute path, not %s", path);
    while (trimmed && length > 1 && trimmed[length - 1] == '/')
        trimmed[--length] = 0;
    struct tracked *tracked = list_add(&capture->context.tracked, &capture->context.n_tracked);
    if (!trimmed || !tracked)
        return error_set(err, CAESURA_ENOMEM_, "cannot track %s", path);
    tracked->path = canonical(trimmed);
    if (!tracked->path)
        return error_errno(err, errno, "cannot track %s", path);
    tracked->exclude = capture->request.exclude_path ? canonical(capture->request.exclude_path) : strdup("");
    if (!tracked->exclude)
        return error_errno(err, errno, "cannot leave %s out of --track", capture->request.exclude_path);
    struct census census = {.capture = capture, .tracked = tracked};
    visitor.data = &census;
    return track_walk(tracked->path, &visitor, err);
}

/*
 * An SQLite database is more than its file: a journal beside it is part of it, and the next one who opens the database plays
 * that back (https://www.sqlite.org/fileformat2.html, 1.3 "magic header string"; https://www.sqlite.org/tempfiles.html, 2.1
 * and 2.2). It is there during a transaction only, so a later run that is killed leaves one which the database of the
 * checkpoint does not know.
 */
static bool is_sqlite(const struct caesura_capture *capture, uint32_t index)
{
    static const char magic[16] = "SQLite format 3";
    char start[sizeof magic];
    bool shared;
    int fd = file_set_open(capture, index, &shared);

    if (fd < 0)
        return false;
    bool found = pread(fd, start, sizeof start, 0) == (ssize_t)sizeof start && memcmp(start, magic, sizeof magic) == 0;
    close(fd);
    return found;
}

static int take_companions(struct caesura_capture *capture, struct caesura_error *err)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm"};
    uint32_t count = capture->context.n_files;
    int rc = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct file *file = &capture->context.files[i];
        if (file->kind != FILE_REGULAR || !(file->flags & FILE_WRITTEN) || !is_sqlite(capture, i))
            continue;
        for (size_t s = 0; s < sizeof suffixes / sizeof *suffixes && !rc; s++) {
            auto_free char *path = NULL;
            if (asprintf(&path, "%s%s", capture->context.files[i].path, suffixes[s]) < 0)
                return error_set(err, CAESURA_ENOMEM_, "cannot look for what belongs to a database");
            rc = take_path(capture, path, err);
        }
    }
    return rc;
}

int files_take_census(struct caesura_capture *capture, struct caesura_error *err)
{
    const char *const *path = capture->request.track_paths;
    int rc = 0;

    for (; path && *path && !rc; path++)
        rc = take_path(capture, *path, err);
    return rc ? rc : take_companions(capture, err);
}
