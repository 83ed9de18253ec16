#include "files/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/error.h"

struct names {
    char **list;
    uint32_t n_list;
};

static void names_free(struct names *names)
{
    for (uint32_t i = 0; i < names->n_list; i++)
        free(names->list[i]);
    free(names->list);
}

static void folder_close(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names are read before the first is visited, so that the visitor may move files away. */
static int read_names(DIR *folder, struct names *names)
{
    struct dirent *entry;

    for (errno = 0; (entry = readdir(folder)); errno = 0) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char **name = list_add(&names->list, &names->n_list);
        if (!name || !(*name = strdup(entry->d_name)))
            return -ENOMEM;
    }
    if (errno)
        return -errno;
    if (names->n_list)
        qsort(names->list, names->n_list, sizeof *names->list, compare_names);
    return 0;
}

static int visit(const struct track_visitor *visitor, int folder_fd, const char *name, const char *path, dev_t dev,
                 struct caesura_error *err);

static int visit_folder(const struct track_visitor *visitor, int parent_fd, const char *name, const char *path,
                        dev_t dev, struct caesura_error *err)
{
    __attribute__((cleanup(names_free))) struct names names = {0};
    __attribute__((cleanup(folder_close))) DIR *folder = NULL;
    int rc = 0;

    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && !(folder = fdopendir(fd))) {
        close(fd);
        return error_set(err, CAESURA_ENOMEM_, "cannot read the folder %s", path);
    }
    if (fd < 0)
        return errno == ENOENT ? 0 : visitor->trouble(visitor->data, path, errno, err);
    if ((rc = read_names(folder, &names)))
        return visitor->trouble(visitor->data, path, -rc, err);
    for (uint32_t i = 0; i < names.n_list && !rc; i++) {
        struct buffer below = {0};
        buffer_format(&below, "%s/%s", strcmp(path, "/") == 0 ? "" : path, names.list[i]);
        buffer_bytes(&below, "", 1);
        rc = below.failed ? error_set(err, CAESURA_ENOMEM_, "cannot look below %s", path)
                          : visit(visitor, dirfd(folder), names.list[i], (char *)below.data, dev, err);
        buffer_free(&below);
    }
    return rc;
}

static int visit(const struct track_visitor *visitor, int folder_fd, const char *name, const char *path, dev_t dev,
                 struct caesura_error *err)
{
    struct stat st;

    if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : visitor->trouble(visitor->data, path, errno, err);
    if (S_ISREG(st.st_mode))
        return visitor->file(visitor->data, folder_fd, name, path, &st, err);
    if (!S_ISDIR(st.st_mode) || !visitor->enter(visitor->data, path, &st))
        return 0;
    if (st.st_dev != dev)
        return visitor->trouble(visitor->data, path, EXDEV, err);
    return visit_folder(visitor, folder_fd, name, path, dev, err);
}

int track_walk(const char *root, const struct track_visitor *visitor, struct caesura_error *err)
{
    struct stat st;

    if (lstat(root, &st) < 0)
        return errno == ENOENT ? 0 : visitor->trouble(visitor->data, root, errno, err);
    return visit(visitor, AT_FDCWD, root, root, st.st_dev, err);
}
