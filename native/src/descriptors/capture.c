/*
 * Descriptor tables: which descriptors there are, and which of them are one open file description.
 *
 * Two descriptors are the same description if kcmp() says so. It also gives an order, so sorting finds all groups in
 * O(n log n) calls; device and inode number are compared first and save nearly all of them. Position and flags would be
 * cheap keys too, but processes outside of the scope may share the description and change them while we look.
 */
#include "descriptors/sockets.h"

#include <dirent.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A holder with the keys that it is sorted by. */
struct entry {
    uint32_t holder;
    struct place place;
    dev_t dev;
    ino_t ino;
};

struct comparison {
    const struct caesura_capture *capture;
    int failed; /* errno of kcmp() */
};

/* ---- tables shared by processes ---- */

static int compare_tables(const void *a, const void *b, void *data)
{
    struct comparison *comparison = data;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const struct target *targets = comparison->capture->targets;
    long order = target_compare(&targets[x], &targets[y], KCMP_FILES, 0, 0);

    if (order < 0)
        comparison->failed = errno;
    /* Sharers stay in the order of the scope, so that the first of them owns the table. */
    return order == 1 ? -1 : order == 2 ? 1 : x < y ? -1 : x > y;
}

static int kcmp_failed(int errno_value, struct caesura_error *err)
{
    if (errno_value == ENOSYS)
        return error_set(err, CAESURA_ENOSYS_, "the kernel has no kcmp(): descriptors cannot be compared");
    return error_errno(err, errno_value, "cannot compare the descriptors of the processes");
}

static int tables_compare(struct caesura_capture *capture, struct caesura_error *err)
{
    struct comparison comparison = {.capture = capture};
    auto_memory uint32_t *order = calloc(capture->n_targets + 1, sizeof *order);
    size_t count = 0;

    if (!order)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of processes");
    for (size_t i = 0; i < capture->n_targets; i++)
        if (!capture->targets[i].zombie)
            order[count++] = (uint32_t)i;
    qsort_r(order, count, sizeof *order, compare_tables, &comparison);
    for (size_t i = 1, owner = 0; i < count && !comparison.failed; i++) {
        const struct target *a = &capture->targets[order[owner]], *b = &capture->targets[order[i]];
        long same = target_compare(a, b, KCMP_FILES, 0, 0);
        if (same < 0)
            comparison.failed = errno;
        else if (same == 0)
            b->process->files_of = (uint32_t)a->inner_pid;
        else
            owner = i;
    }
    return comparison.failed ? kcmp_failed(comparison.failed, err) : 0;
}

/* ---- listing ---- */

static int fdinfo_read(int folder, const char *name, struct buffer *text, struct fdinfo *info,
                       struct caesura_error *err)
{
    *info = (struct fdinfo){0};
    auto_fd fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot read fdinfo of descriptor %s", name);
    text->size = 0;
    for (;;) {
        size_t had = text->size;
        void *room = buffer_reserve(text, 4096);
        if (!room)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold fdinfo of descriptor %s", name);
        ssize_t got = read(fd, room, 4096);
        if (got < 0)
            return error_errno(err, errno, "cannot read fdinfo of descriptor %s", name);
        text->size = had + (size_t)got;
        if (!got)
            break;
    }
    buffer_bytes(text, "", 1);
    return text->failed ? error_set(err, CAESURA_ENOMEM_, "cannot hold fdinfo")
                        : fdinfo_parse((char *)text->data, info, err);
}

static int open_folder(pid_t task, const char *name, struct caesura_error *err)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", task, name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "cannot look at the descriptors of process %d", task) : fd;
}

static void close_folder(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* The descriptors of one process. */
static int list_target(struct caesura_capture *capture, uint32_t index, struct buffer *text, struct caesura_error *err)
{
    struct description_set *set = capture->descriptions;
    const struct target *target = &capture->targets[index];
    int fds = open_folder(target_task(target), "fd", err);
    if (fds < 0)
        return fds;
    DIR *folder __attribute__((cleanup(close_folder))) = fdopendir(fds);
    auto_fd infos = open_folder(target_task(target), "fdinfo", err);
    struct stat st;
    if (infos < 0)
        return infos;

    for (struct dirent *at; (at = readdir(folder));) {
        if (at->d_name[0] == '.')
            continue;
        struct fdinfo info;
        int rc = fdinfo_read(infos, at->d_name, text, &info, err);
        uint32_t flags = info.flags;
        uint64_t position = info.position;
        /* Kept per descriptor: POSIX locks belong to the table, not to the description. */
        for (uint32_t i = 0; i < info.n_locks && !rc; i++) {
            struct seen_lock *lock = list_add(&set->locks, &set->n_locks);
            if (lock)
                *lock = (struct seen_lock){set->n_holders, info.locks[i]};
            else
                rc = error_set(err, CAESURA_ENOMEM_, "cannot hold the list of locks");
        }
        fdinfo_free(&info);
        if (rc)
            return error_about(err, target->inner_pid, atoi(at->d_name));
        struct holder *holder = list_add(&set->holders, &set->n_holders);
        if (holder && fstatat(fds, at->d_name, &st, 0))
            return error_errno(err, errno, "cannot look at descriptor %s", at->d_name);
        if (!holder)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of descriptors");
        *holder = (struct holder){.target = index,
                                  .fd = atoi(at->d_name),
                                  .cloexec = !!(flags & O_CLOEXEC),
                                  .flags = flags,
                                  .position = position,
                                  .dev = st.st_dev,
                                  .ino = st.st_ino,
                                  .mode = st.st_mode,
                                  .is_path = flags & O_PATH};
    }
    return 0;
}

static int compare_entries(const void *a, const void *b, void *data)
{
    const struct entry *x = a, *y = b;
    struct comparison *comparison = data;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    long order = place_compare(x->place, y->place);
    if (order < 0)
        comparison->failed = errno;
    return order == 1 ? -1 : order == 2 ? 1 : x->holder < y->holder ? -1 : x->holder > y->holder;
}

/* ---- grouping ---- */

static bool is_same(const struct entry *x, const struct entry *y)
{
    return x->dev == y->dev && x->ino == y->ino && !place_compare(x->place, y->place);
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Descriptions of one inode are neighbours among the sorted entries; they are chained in the order of their numbers. */
static int chains_link(struct description_set *set, const struct entry *entries, uint32_t count,
                       struct caesura_error *err)
{
    auto_memory uint32_t *ids = calloc(count + 1, sizeof *ids);

    if (!ids)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of descriptors");
    for (uint32_t i = 0; i < count;) {
        uint32_t n = 0, first = i;
        for (; i < count && entries[i].dev == entries[first].dev && entries[i].ino == entries[first].ino; i++)
            ids[n++] = set->holders[entries[i].holder].description;
        qsort(ids, n, sizeof *ids, compare_ids);
        for (uint32_t k = 0; k < n; k++) {
            set->seen[ids[k] - 1].inode_first = ids[0];
            if (k && ids[k] != ids[k - 1])
                set->seen[ids[k - 1] - 1].inode_next = ids[k];
        }
    }
    return 0;
}

/*
 * Numbers the groups in the order in which the descriptors were listed: the same scope always gives the same context.
 * entries are sorted by description; the first of each group is the lowest in that order.
 */
static int groups_number(struct description_set *set, const struct entry *entries, uint32_t count,
                         struct caesura_error *err)
{
    auto_memory uint32_t *group_of = calloc(count + 1, sizeof *group_of); /* by holder; a group is its first entry */
    auto_memory uint32_t *id_of = calloc(count + 1, sizeof *id_of);       /* by first entry */
    uint32_t ids = 0;

    set->by_description = calloc(count + 1, sizeof *set->by_description);
    if (!group_of || !id_of || !set->by_description)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of descriptors");
    for (uint32_t i = 0, first = 0; i < count; i++) {
        if (i && !is_same(&entries[first], &entries[i]))
            first = i;
        group_of[entries[i].holder] = first;
        set->by_description[i] = entries[i].holder;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *id = &id_of[group_of[i]];
        if (!*id)
            *id = ++ids;
        set->holders[i].description = *id;
    }
    set->seen = calloc((size_t)ids + 1, sizeof *set->seen);
    if (!set->seen)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of descriptors");
    set->n_seen = ids;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = set->holders[entries[i].holder].description;
        struct seen *seen = &set->seen[id - 1];
        const struct holder *holder = &set->holders[entries[i].holder];
        /* Holders of one description are in their order, those that travel last: such a one stands for it only alone. */
        if (!seen->n_holders++)
            *seen = (struct seen){.id = id,
                                  .target = holder->target,
                                  .first_holder = i,
                                  .n_holders = 1,
                                  .fd = holder->travels ? holder->at_fd : holder->fd,
                                  .own = holder->travels ? holder->fd : -1};
    }
    return chains_link(set, entries, count, err);
}

static int descriptors_list(struct caesura_capture *capture, struct caesura_error *err)
{
    struct comparison comparison = {.capture = capture};
    struct description_set *set = capture->descriptions;
    auto_memory struct entry *entries = NULL;
    auto_buffer text = {0};

    for (size_t i = 0; i < capture->n_targets; i++) {
        const struct target *target = &capture->targets[i];
        if (target->zombie || target->process->files_of)
            continue;
        int rc = list_target(capture, (uint32_t)i, &text, err);
        if (rc)
            return rc;
    }
    set->n_held = set->n_holders;
    int rc = queues_list(capture, err);
    if (rc)
        return rc;
    uint32_t count = set->n_holders;
    entries = calloc((size_t)count + 1, sizeof *entries);
    if (!entries)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of descriptors");
    for (uint32_t i = 0; i < count; i++)
        entries[i] =
            (struct entry){i, holder_place(capture, &set->holders[i]), set->holders[i].dev, set->holders[i].ino};
    qsort_r(entries, count, sizeof *entries, compare_entries, &comparison);
    if (comparison.failed)
        return kcmp_failed(comparison.failed, err);
    return groups_number(set, entries, count, err);
}

/* ---- looking at each ---- */

/* What listing has read is enough for kinds that have nothing more to show there. */
static int seen_read_fdinfo(const struct caesura_capture *capture, struct seen *seen, const char *name,
                            struct buffer *text, struct caesura_error *err)
{
    const struct description_set *set = capture->descriptions;
    const struct holder *holder = &set->holders[set->by_description[seen->first_holder]];
    struct place place = seen_place(capture, seen);
    mode_t type = seen->st.st_mode & S_IFMT;
    bool known = type == S_IFSOCK || type == S_IFIFO || (name[0] == '/' && (type == S_IFREG || type == S_IFDIR));
    char number[16];

    if (known && seen->own < 0) {
        seen->info = (struct fdinfo){.flags = holder->flags, .position = holder->position, .tty_index = -1};
        return 0;
    }
    auto_fd folder = open_folder(place.task, "fdinfo", err);
    if (folder < 0)
        return folder;
    snprintf(number, sizeof number, "%d", place.fd);
    return fdinfo_read(folder, number, text, &seen->info, err);
}

static int seen_look(struct caesura_capture *capture, struct seen *seen, int fd, struct buffer *text,
                     struct caesura_error *err)
{
    struct description *record = seen_record(capture, seen);
    char path[64], name[PATH_MAX + 16];
    struct statfs fs;

    struct place place = seen_place(capture, seen);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", place.task, place.fd);
    ssize_t size = readlink(path, name, sizeof name - 1);
    if (size < 0)
        return error_errno(err, errno, "cannot read %s", path);
    name[size] = 0;
    if (!(record->name = strdup(name)))
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the name of %s", name);
    if (fstat(fd, &seen->st))
        return error_errno(err, errno, "cannot look at %s", name);
    int rc = seen_read_fdinfo(capture, seen, name, text, err);
    if (rc)
        return rc;
    record->id = seen->id;
    record->flags = seen->info.flags & ~(uint32_t)O_CLOEXEC;
    record->position = seen->info.position;
    if (!fstatfs(fd, &fs))
        seen->fs_type = (uint64_t)(uint32_t)fs.f_type;
    if (S_ISSOCK(seen->st.st_mode) && !(record->flags & O_PATH)) {
        socklen_t length = sizeof(int);
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &seen->domain, &length);
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &seen->type, &length);
        getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &seen->protocol, &length);
        inet_look(seen, fd);
    }
    return 0;
}

static int compare_sockets(const void *a, const void *b)
{
    const struct seen *x = *(const struct seen *const *)a, *y = *(const struct seen *const *)b;
    return x->st.st_ino < y->st.st_ino ? -1 : x->st.st_ino > y->st.st_ino;
}

static int descriptions_look(struct caesura_capture *capture, struct caesura_error *err)
{
    struct description_set *set = capture->descriptions;
    auto_buffer text = {0};

    set->sockets = calloc(set->n_seen + 1, sizeof *set->sockets);
    if (!set->sockets)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of sockets");
    for (uint32_t i = 0; i < set->n_seen; i++) {
        struct seen *seen = &set->seen[i];
        if (!list_add(&capture->context.descriptions, &capture->context.n_descriptions))
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of open files");
        auto_fd fd = seen_open(capture, seen, err);
        if (fd < 0)
            return fd;
        int rc = seen_look(capture, seen, fd, &text, err);
        if (rc)
            return rc;
        if (seen->type)
            set->sockets[set->n_sockets++] = seen;
    }
    qsort(set->sockets, set->n_sockets, sizeof *set->sockets, compare_sockets);
    return 0;
}

static int description_capture(struct caesura_capture *capture, struct seen *seen, struct caesura_error *err)
{
    const char *remedy;
    char what[512];

    seen->kind = kind_probe(capture, seen, what, sizeof what, &remedy);
    if (!seen->kind)
        return seen_refuse(capture, seen, remedy, "%s", what);
    auto_fd fd = seen_open(capture, seen, err);
    if (fd < 0)
        return fd;
    seen_record(capture, seen)->kind = seen->kind->kind;
    int rc = seen->kind->capture(capture, seen, fd, err);
    if (!rc && !seen->kind->keeps_flags && seen_record(capture, seen)->kind != DESCRIPTION_OUTSIDE)
        rc = owner_capture(capture, seen, fd, err);
    return rc ? error_about(err, seen_pid(capture, seen), seen->fd) : 0;
}

int descriptors_capture(struct caesura_capture *capture, struct caesura_error *err)
{
    struct description_set *set = capture->descriptions = calloc(1, sizeof *set);
    if (!set)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of descriptors");
    int rc = tables_compare(capture, err);
    if (!rc)
        rc = descriptors_list(capture, err);
    if (!rc)
        rc = descriptions_look(capture, err);
    for (uint32_t i = 0; i < set->n_seen && !rc; i++)
        rc = description_capture(capture, &set->seen[i], err);
    for (uint32_t i = 0; i < set->n_held && !rc; i++) {
        struct process *process = capture->targets[set->holders[i].target].process;
        struct descriptor *descriptor = list_add(&process->descriptors, &process->n_descriptors);
        if (!descriptor)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of descriptors");
        *descriptor = (struct descriptor){set->holders[i].fd, set->holders[i].description, set->holders[i].cloexec};
    }
    return rc ? rc : locks_capture(capture, err);
}

void descriptors_free(struct caesura_capture *capture)
{
    struct description_set *set = capture->descriptions;

    if (!set)
        return;
    for (uint32_t i = 0; i < set->n_seen; i++)
        fdinfo_free(&set->seen[i].info);
    for (uint32_t i = set->n_held; i < set->n_holders; i++)
        close(set->holders[i].fd);
    unix_diag_free(set->unix_sockets, set->n_unix_sockets);
    queues_free(set);
    free(set->sockets);
    free(set->locks);
    free(set->seen);
    free(set->holders);
    free(set->by_description);
    free(set);
    capture->descriptions = NULL;
}
