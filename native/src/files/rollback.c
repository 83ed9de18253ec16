#include "files/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

/* One file on its way back. */
struct roll_back {
    struct restore *restore;
    const struct file *file;
    uint32_t position;
    const char *path; /* after --relocate */
    const struct file_plan *plan;
};

void files_restore_mtime(const struct file *file, int fd)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};

    times[1].tv_sec = (time_t)(file->mtime_ns / 1000000000u);
    times[1].tv_nsec = (long)(file->mtime_ns % 1000000000u);
    /* Only the owner may: whoever else could write the file leaves the time of writing. */
    futimens(fd, times);
}

void files_restore_attributes(const struct file *file, int fd)
{
    mode_t mode = file->mode & 07777;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return;
    if ((st.st_uid != file->uid || st.st_gid != file->gid) && fchown(fd, file->uid, file->gid) < 0)
        /* As another owner's file it must not lend rights that nobody gave. */
        mode &= ~(mode_t)(S_ISUID | S_ISGID);
    fchmod(fd, mode);
    files_restore_mtime(file, fd);
}

/* The folders above path, as far as they are gone. */
static int make_folders(const char *path, struct caesura_error *err)
{
    auto_free char *above = strdup(path);
    char *slash = above ? strrchr(above, '/') : NULL;

    if (!above)
        return error_set(err, CAESURA_ENOMEM_, "cannot make the folder of %s", path);
    if (!slash || slash == above)
        return 0;
    *slash = 0;
    if (access(above, F_OK) == 0)
        return 0;
    int rc = make_folders(above, err);
    if (!rc && mkdir(above, 0777) < 0 && errno != EEXIST)
        rc = error_errno(err, errno, "cannot make the folder %s", above);
    return rc;
}

/* A new file at path with the saved contents. If that fails, nothing is left there. */
static int make_at(const struct roll_back *back, const char *path, struct caesura_error *err)
{
    auto_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot make %s", path);
    int rc = image_fill(back->restore, back->position, fd, err);
    if (rc)
        unlink(path);
    else
        files_restore_attributes(back->file, fd);
    return rc;
}

static int make(const struct roll_back *back, struct caesura_error *err)
{
    int rc = make_folders(back->path, err);
    if (!rc)
        rc = make_at(back, back->path, err);
    if (!rc && !(back->file->flags & FILE_PRIVATE_SHM))
        restore_tell(back->restore, "%s was gone and has been made again", back->path);
    return rc;
}

static int keep(const struct roll_back *back, int fd, struct caesura_error *err)
{
    auto_free char *name = NULL;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "cannot look at %s", back->path);
    if (!st.st_size)
        return 0;
    int rc = aside_copy(back->restore, fd, back->path, "replaced", 0, &name, err);
    if (!rc)
        restore_tell(back->restore, "%s has been brought back to the checkpoint; what it was is kept as %s/%s",
                     back->path, back->restore->options.aside, name);
    return rc;
}

/* For a file that another one took the place of: the other may have further names, which keep what they have. */
static int replace(const struct roll_back *back, struct caesura_error *err)
{
    size_t size = strlen(back->path) + 64;
    auto_free char *temporary = malloc(size);
    const char *slash = strrchr(back->path, '/');
    auto_close int fd = identity_open(back->path, O_RDONLY, err);

    if (fd < 0)
        return fd;
    if (!temporary || !slash)
        return error_set(err, CAESURA_ENOMEM_, "cannot replace %s", back->path);
    int rc = keep(back, fd, err);
    if (rc)
        return rc;
    snprintf(temporary, size, "%.*s/.caesura-%d-%u", (int)(slash - back->path), back->path, (int)getpid(),
             back->position);
    rc = make_at(back, temporary, err);
    if (!rc && rename(temporary, back->path) < 0) {
        rc = error_errno(err, errno, "cannot replace %s", back->path);
        unlink(temporary);
    }
    return rc;
}

static int rewrite(const struct roll_back *back, struct caesura_error *err)
{
    auto_close int fd = identity_open(back->path, O_RDWR, err);
    if (fd == -ETXTBSY)
        return replace(back, err);
    int rc = fd < 0 ? fd : keep(back, fd, err);
    if (!rc)
        rc = image_rewrite(back->restore, back->position, fd, err);
    if (!rc)
        files_restore_mtime(back->file, fd);
    return rc;
}

static int cut(const struct roll_back *back, struct caesura_error *err)
{
    const struct file *file = back->file;
    auto_free char *name = NULL;
    auto_close int fd = identity_open(back->path, O_RDWR, err);

    if (fd == -ETXTBSY && file->content == FILE_CONTENT_SAVED)
        return replace(back, err);
    int rc = fd < 0 ? fd : aside_copy(back->restore, fd, back->path, "tail", file->size, &name, err);
    if (rc)
        return rc;
    if (ftruncate(fd, (off_t)file->size) < 0)
        return error_errno(err, errno, "cannot cut %s", back->path);
    files_restore_mtime(file, fd);
    restore_tell(back->restore, "%s: %llu bytes written after the checkpoint were cut off and are kept as %s/%s",
                 back->path, (unsigned long long)back->plan->st.st_size - (unsigned long long)file->size,
                 back->restore->options.aside, name);
    return 0;
}

/* Same contents, other time: a restarted make has to see what it saw. */
static void reset_time(const struct roll_back *back)
{
    const struct file *file = back->file;

    if (file->kind != FILE_REGULAR || !plan_is_rolled_back(file) || file->content != FILE_CONTENT_SAVED ||
        files_time_ns(&back->plan->st.st_mtim) == file->mtime_ns)
        return;
    auto_close int fd = identity_open(back->path, O_RDONLY, NULL);
    if (fd >= 0)
        files_restore_mtime(file, fd);
}

/* A program that asked for its own checkpoint has the context open, as it was before anything was in it. */
static bool is_context(const struct restore *restore, const struct stat *st)
{
    struct stat context;

    for (size_t i = 0; i < restore->source.n_fds; i++)
        if (!fstat(restore->source.fds[i], &context) && context.st_dev == st->st_dev && context.st_ino == st->st_ino)
            return true;
    return false;
}

static int roll_back_one(struct restore *restore, uint32_t position, struct caesura_error *err)
{
    const struct file *file = &restore->context->files[position];
    struct file_plan *plan = &restore->files->plans[position];
    auto_free char *path = restore_path(restore, file->path);

    if (!path)
        return error_set(err, CAESURA_ENOMEM_, "cannot look at %s", file->path);
    int rc = plan_look(restore, file, path, plan, err);
    if (!rc && is_context(restore, &plan->st)) {
        plan->action = ACTION_NONE;
        return 0;
    }
    if (!rc)
        rc = plan_settle(restore, position, path, plan, err);
    if (rc)
        return rc;
    const struct roll_back back = {.restore = restore, .file = file, .position = position, .path = path, .plan = plan};
    /* What plan_look() had to say was told by files_check(). */
    if (plan->action == ACTION_COPY || (plan->note && file->content == FILE_CONTENT_SAVED))
        restore_note(restore, "%s %s", path, plan->note);
    switch (plan->action) {
    case ACTION_CUT:
        return cut(&back, err);
    case ACTION_REWRITE:
        return rewrite(&back, err);
    case ACTION_REPLACE:
        return replace(&back, err);
    case ACTION_MAKE:
        return make(&back, err);
    default:
        reset_time(&back);
        return 0;
    }
}

int files_roll_back(struct restore *restore, struct caesura_error *err)
{
    struct files_state *state;

    int rc = files_state_get(restore, &state, err);
    for (uint32_t i = 0; i < restore->context->n_files && !rc; i++)
        rc = roll_back_one(restore, i, err);
    return rc ? rc : files_clear_tracked(restore, err);
}

int files_check(const struct restore *restore, struct caesura_error *err)
{
    const struct context *context = restore->context;
    struct file_plan plan = {0};
    struct stat st;

    for (uint32_t i = 0; i < context->n_files; i++) {
        auto_free char *path = restore_path(restore, context->files[i].path);
        int rc = path ? plan_look(restore, &context->files[i], path, &plan, err)
                      : error_set(err, CAESURA_ENOMEM_, "cannot look at %s", context->files[i].path);
        if (rc)
            return rc;
        if (plan.note && context->files[i].content != FILE_CONTENT_SAVED)
            restore_note(restore, "%s %s", path, plan.note);
    }
    for (uint32_t i = 0; i < context->n_tracked; i++) {
        auto_free char *path = restore_path(restore, context->tracked[i].path);
        if (!path)
            return error_set(err, CAESURA_ENOMEM_, "cannot look at %s", context->tracked[i].path);
        if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
            error_set(err, CAESURA_EFILECHANGED, "%s, which was tracked, is neither a folder nor a file any more",
                      path);
            return error_hint(err, "give its new place with --relocate %s=NEW", context->tracked[i].path);
        }
    }
    return 0;
}
