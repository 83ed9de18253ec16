#include "files/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

/*
 * A clock tick is up to 10 ms long, and a change within the tick of an earlier one leaves the times as they were. The times
 * of a file say that it is unchanged only if its last change was long before the checkpoint.
 */
#define RACY_NS 2000000000u

#define STREAM_NOTE                                                                                                         \
    "cannot be opened by this user: the processes get cr_restart's own standard stream, and it is not brought back to the " \
    "checkpoint"

bool plan_is_rolled_back(const struct file *file)
{
    return file->flags & (FILE_WRITTEN | FILE_APPENDED | FILE_TRACKED | FILE_PRIVATE_SHM);
}

static bool is_only_tracked(const struct file *file)
{
    return (file->flags & FILE_TRACKED) &&
           !(file->flags & (FILE_WRITTEN | FILE_APPENDED | FILE_MAPPED | FILE_EXECUTED));
}

static bool is_same_inode(const struct file *file, const struct stat *st)
{
    return file->dev == st->st_dev && file->ino == st->st_ino;
}

static void hex(const struct blob *blob, char *text, size_t size)
{
    *text = 0;
    for (uint32_t i = 0; i < blob->size && 2 * (size_t)i + 2 < size; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", ((const uint8_t *)blob->data)[i]);
}

/* ---- what cannot be gone on with ---- */

static int refuse_missing(const struct file *file, const char *path, struct caesura_error *err)
{
    bool moved = strcmp(file->path, path) != 0;

    error_set(err, CAESURA_ENOENT_, "%s, which the context needs, is missing%s%s%s", path, moved ? " (it was " : "",
              moved ? file->path : "", moved ? " at the checkpoint)" : "");
    return error_hint(err, "put it back, or give its new place with --relocate %s=NEW", file->path);
}

static int refuse_changed(const struct file *file, const char *path, const struct stat *st, struct caesura_error *err)
{
    error_set(err, CAESURA_EFILECHANGED,
              "%s is not what it was: %llu bytes, changed at %llu.%09llu, at the checkpoint; %llu bytes, changed at "
              "%llu.%09llu, now",
              path, (unsigned long long)file->size, (unsigned long long)(file->mtime_ns / 1000000000u),
              (unsigned long long)(file->mtime_ns % 1000000000u), (unsigned long long)st->st_size,
              (unsigned long long)st->st_mtim.tv_sec, (unsigned long long)st->st_mtim.tv_nsec);
    return error_hint(err,
                      "put the old file back, give a copy of it with --relocate %s=NEW, or accept it as it is with "
                      "--allow-changed-files",
                      file->path);
}

static int refuse_other_build(const struct file *file, const char *path, const struct blob *now,
                              struct caesura_error *err)
{
    char was_text[129], now_text[129];

    hex(&file->build_id, was_text, sizeof was_text);
    hex(now, now_text, sizeof now_text);
    error_set(err, CAESURA_EFILECHANGED,
              "%s, which is mapped, is another build than at the checkpoint: its build-id was %s and is %s", path,
              was_text, *now_text ? now_text : "not there");
    return error_hint(err,
                      "put the old file back, give a copy of it with --relocate %s=NEW, or save programs and "
                      "libraries into the context (--save-exe, --save-private)",
                      file->path);
}

/* ---- programs and libraries ---- */

static bool has_same_times(const struct file *file, const struct stat *st)
{
    return file->size == (uint64_t)st->st_size && file->mtime_ns == files_time_ns(&st->st_mtim);
}

static int look_at_program(const struct file *file, const char *path, struct file_plan *plan, bool allowed,
                           struct caesura_error *err)
{
    struct blob now = {0};
    int rc = 0;

    if (file->build_id.size) {
        auto_close int fd = identity_open(path, O_RDONLY, err);
        if (fd >= 0)
            rc = elf_build_id(fd, path, &now, err);
        else if (fd != -EACCES)
            rc = fd;
        if (rc)
            return rc;
    }
    auto_free void *now_data = now.data;
    const struct blob *was = &file->build_id;
    bool comparable = now_data && was->size;
    if (comparable ? now.size == was->size && memcmp(now.data, was->data, now.size) == 0
                   : has_same_times(file, &plan->st))
        return 0;
    if (file->content == FILE_CONTENT_SAVED) {
        plan->action = ACTION_COPY;
        plan->note = "is another build than at the checkpoint: the saved one is used";
        return 0;
    }
    if (allowed) {
        plan->note = "is another build than at the checkpoint and is used nevertheless";
        return 0;
    }
    return was->size ? refuse_other_build(file, path, &now, err) : refuse_changed(file, path, &plan->st, err);
}

/* ---- plans ---- */

static int look_at_missing(const struct restore *restore, const struct file *file, const char *path,
                           struct file_plan *plan, struct caesura_error *err)
{
    if (file->content == FILE_CONTENT_SAVED) {
        bool again = plan_is_rolled_back(file) || identity_is_shm(file->path);
        plan->action = again ? ACTION_MAKE : ACTION_COPY;
        if (!again)
            plan->note = "is gone: the processes get the saved copy";
        return 0;
    }
    if (is_only_tracked(file) && restore->options.allow_changed_files) {
        plan->note = "is gone and was not saved";
        return 0;
    }
    return refuse_missing(file, path, err);
}

static int look_at_rolled_back(const struct restore *restore, const struct file *file, const char *path,
                               struct file_plan *plan, struct caesura_error *err)
{
    bool allowed = restore->options.allow_changed_files;
    uint64_t size = (uint64_t)plan->st.st_size;

    /* The owner can give himself the right to write. Who only tracks a file needs none as long as nothing changed. */
    if (plan->st.st_uid != geteuid() && !(is_only_tracked(file) && has_same_times(file, &plan->st)) &&
        faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0) {
        int reason = errno;
        if (files_is_own_stream(restore, file, path)) {
            plan->note = STREAM_NOTE;
            return 0;
        }
        error_errno(err, reason, "%s has to be brought back to the checkpoint, but cannot be written", path);
        return error_hint(
            err, "give this user the right to write it, or, if it was a standard stream, start cr_restart with the "
                 "same file there");
    }
    if (file->content == FILE_CONTENT_SAVED) {
        plan->action = ACTION_COMPARE;
        return 0;
    }
    if (size < file->size && !allowed)
        return refuse_changed(file, path, &plan->st, err);
    if (file->flags & FILE_EXECUTED) {
        int rc = look_at_program(file, path, plan, allowed, err);
        if (rc)
            return rc;
    }
    if (size > file->size)
        plan->action = ACTION_CUT;
    if (size < file->size)
        plan->note = "is shorter than at the checkpoint";
    else if ((file->flags & (FILE_WRITTEN | FILE_TRACKED)) && !has_same_times(file, &plan->st))
        plan->note = size > file->size ? "was not saved: only what was added to it is taken away"
                                       : "was not saved and has changed: it stays as it is";
    else if (!is_same_inode(file, &plan->st) && !has_same_times(file, &plan->st))
        plan->note = "is another file than at the checkpoint and was not saved: only its size is looked at";
    return 0;
}

static int look_at_read_only(const struct restore *restore, const struct file *file, const char *path,
                             struct file_plan *plan, struct caesura_error *err)
{
    if (file->flags & FILE_EXECUTED)
        return look_at_program(file, path, plan, restore->options.allow_changed_files, err);
    if (has_same_times(file, &plan->st))
        return 0;
    if (file->content == FILE_CONTENT_SAVED) {
        plan->action = ACTION_COMPARE;
        return 0;
    }
    if ((uint64_t)plan->st.st_size > file->size) {
        plan->note = "has grown since the checkpoint";
        return 0;
    }
    if (!restore->options.allow_changed_files)
        return refuse_changed(file, path, &plan->st, err);
    plan->note = "has changed since the checkpoint and is used nevertheless";
    return 0;
}

static int look_at_nameless(const struct file *file, struct file_plan *plan, struct caesura_error *err)
{
    plan->action = ACTION_OBJECT;
    if (file->content == FILE_CONTENT_SAVED)
        return 0;
    return error_set(err, CAESURA_EFORMAT, "the context lacks the contents of %s, which had no name any more",
                     file->path);
}

int plan_look(const struct restore *restore, const struct file *file, const char *path, struct file_plan *plan,
              struct caesura_error *err)
{
    *plan = (struct file_plan){.action = ACTION_NONE, .known = true};
    switch (file->kind) {
    case FILE_DELETED:
    case FILE_MEMFD:
        return look_at_nameless(file, plan, err);
    case FILE_REGULAR:
    case FILE_DEVICE:
        break;
    default:
        return 0;
    }
    if (path[0] != '/')
        return error_set(err, CAESURA_EFORMAT, "the context names a file %s, without its folder", path);
    if (lstat(path, &plan->st) < 0 && errno == EACCES && files_is_own_stream(restore, file, path)) {
        plan->note = STREAM_NOTE;
        return 0;
    }
    if (lstat(path, &plan->st) < 0)
        return errno != ENOENT             ? error_errno(err, errno, "cannot look at %s", path)
               : file->kind == FILE_DEVICE ? refuse_missing(file, path, err)
                                           : look_at_missing(restore, file, path, plan, err);
    if (file->kind == FILE_DEVICE)
        return S_ISCHR(plan->st.st_mode)
                   ? 0
                   : error_set(err, CAESURA_EFILECHANGED, "%s is no character device any more", path);
    if (!S_ISREG(plan->st.st_mode))
        return identity_refuse_type(path, plan->st.st_mode, err);
    return plan_is_rolled_back(file) ? look_at_rolled_back(restore, file, path, plan, err)
                                     : look_at_read_only(restore, file, path, plan, err);
}

/* Spares reading a large census: times that tell enough. A store through a map need not show in them. */
static bool is_surely_unchanged(const struct restore *restore, const struct file *file, const struct stat *st)
{
    return is_only_tracked(file) && is_same_inode(file, st) && has_same_times(file, st) &&
           file->ctime_ns == files_time_ns(&st->st_ctim) &&
           file->ctime_ns + RACY_NS < restore->source.header.created_ns;
}

int plan_settle(const struct restore *restore, uint32_t position, const char *path, struct file_plan *plan,
                struct caesura_error *err)
{
    const struct file *file = &restore->context->files[position];
    uint64_t size = (uint64_t)plan->st.st_size;
    bool matches = false;

    if (plan->action != ACTION_COMPARE)
        return 0;
    if (is_surely_unchanged(restore, file, &plan->st)) {
        plan->action = ACTION_NONE;
        return 0;
    }
    if (size >= file->size) {
        auto_close int fd = identity_open(path, O_RDONLY, err);
        /* What may not be read any more counts as changed; the saved copy needs no reading of it. */
        int rc = fd == -EACCES && !plan_is_rolled_back(file) ? 0
                 : fd < 0                                    ? fd
                                                             : image_matches(restore, position, fd, &matches, err);
        if (rc)
            return rc;
    }
    if (!plan_is_rolled_back(file)) {
        /* What was added is what a later run wrote, as often as not: the processes go on with what they had. */
        bool same = matches && size == file->size;
        plan->action = same ? ACTION_NONE : ACTION_COPY;
        plan->note = same ? NULL : "has changed since the checkpoint: the processes get the saved copy";
    } else if (matches) {
        plan->action = size > file->size ? ACTION_CUT : ACTION_NONE;
    } else {
        plan->action = is_only_tracked(file) && !is_same_inode(file, &plan->st) ? ACTION_REPLACE : ACTION_REWRITE;
    }
    return 0;
}
