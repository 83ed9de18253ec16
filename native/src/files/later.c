#include "files/internal.h"

#include <errno.h>
#include <string.h>

#include "core/error.h"

/* Moving away what came into the --track paths after the checkpoint. */
struct later {
    struct restore *restore;
    char **names; /* of the files of the context, after --relocate; sorted */
    size_t n_names;
    const char *exclude;
    const char *aside;    /* as given; it need not exist yet */
    struct stat used[16]; /* what we ourselves have open: our output, the context */
    size_t n_used;
    uint64_t moved;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_used(const struct later *later, const struct stat *st)
{
    for (size_t i = 0; i < later->n_used; i++)
        if (later->used[i].st_dev == st->st_dev && later->used[i].st_ino == st->st_ino)
            return true;
    return false;
}

static bool enter(void *data, const char *path, const struct stat *st)
{
    const struct later *later = data;
    const struct files_state *state = later->restore->files;

    if (*later->exclude && identity_is_below(path, later->exclude))
        return false;
    if (later->aside && identity_is_below(path, later->aside))
        return false;
    return !(state->aside_fd >= 0 && st->st_dev == state->aside_dev && st->st_ino == state->aside_ino);
}

static int take_away(void *data, int folder_fd, const char *name, const char *path, const struct stat *st,
                     struct caesura_error *err)
{
    struct later *later = data;
    auto_free char *kept = NULL;

    if (!enter(data, path, st) || is_used(later, st) ||
        bsearch(&path, later->names, later->n_names, sizeof *later->names, compare_names))
        return 0;
    int rc = aside_move(later->restore, folder_fd, name, path, &kept, err);
    if (rc)
        return rc;
    later->moved++;
    if (later->restore->options.verbose)
        restore_tell(later->restore, "%s came after the checkpoint and was moved to %s/%s", path,
                     later->restore->options.aside, kept);
    return 0;
}

/* What cannot be looked at stays: nothing is lost by that, and the restart goes on. */
static int trouble(void *data, const char *path, int errno_value, struct caesura_error *err)
{
    const struct later *later = data;

    (void)err;
    restore_note(later->restore, "%s is tracked, but what came there after the checkpoint stays: %s", path,
                 errno_value == EXDEV ? "it is another file system" : strerror(errno_value));
    return 0;
}

static int collect_names(struct later *later, struct caesura_error *err)
{
    const struct context *context = later->restore->context;

    later->names = calloc((size_t)context->n_files + 1, sizeof *later->names);
    for (uint32_t i = 0; later->names && i < context->n_files; i++) {
        if (context->files[i].kind != FILE_REGULAR)
            continue;
        char *name = restore_path(later->restore, context->files[i].path);
        if (!name)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the names of the files");
        later->names[later->n_names++] = name;
    }
    if (!later->names)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the names of the files");
    qsort(later->names, later->n_names, sizeof *later->names, compare_names);
    return 0;
}

static void collect_used(struct later *later)
{
    const struct context_source *source = &later->restore->source;

    for (int fd = 0; fd <= 2; fd++)
        if (fstat(fd, &later->used[later->n_used]) == 0)
            later->n_used++;
    for (size_t i = 0; i < source->n_fds && later->n_used < sizeof later->used / sizeof *later->used; i++)
        if (fstat(source->fds[i], &later->used[later->n_used]) == 0)
            later->n_used++;
}

static int clear_path(struct later *later, const struct tracked *tracked, struct caesura_error *err)
{
    struct track_visitor visitor = {.data = later, .enter = enter, .file = take_away, .trouble = trouble};
    struct restore *restore = later->restore;
    auto_free char *path = restore_path(restore, tracked->path);
    auto_free char *exclude = restore_path(restore, tracked->exclude);

    if (!path || !exclude)
        return error_set(err, CAESURA_ENOMEM_, "cannot look at %s", tracked->path);
    later->exclude = exclude;
    later->moved = 0;
    int rc = track_walk(path, &visitor, err);
    if (later->moved)
        restore_tell(restore, "%llu files that came to %s after the checkpoint were moved to %s",
                     (unsigned long long)later->moved, path, restore->options.aside);
    return rc;
}

int files_clear_tracked(struct restore *restore, struct caesura_error *err)
{
    auto_free char *aside = restore->options.aside ? realpath(restore->options.aside, NULL) : NULL;
    struct later later = {.restore = restore, .aside = aside ? aside : restore->options.aside};

    if (!restore->context->n_tracked)
        return 0;
    collect_used(&later);
    int rc = collect_names(&later, err);
    for (uint32_t i = 0; i < restore->context->n_tracked && !rc; i++)
        rc = clear_path(&later, &restore->context->tracked[i], err);
    for (size_t i = 0; i < later.n_names; i++)
        free(later.names[i]);
    free(later.names);
    return rc;
}
