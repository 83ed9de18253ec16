/* Making descriptions again, in the builder: all of them, in three rounds, then what needs processes. */
#include "descriptors/kinds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SETTABLE_FLAGS (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)

/* ---- state of the builder ---- */

static int ids_check(struct restore *restore, struct caesura_error *err)
{
    const struct context *context = restore->context;

    for (uint32_t i = 0; i < context->n_descriptions; i++) {
        const struct description *description = &context->descriptions[i];
        if (!description->id || description->id > context->n_descriptions ||
            restore->descriptions->by_id[description->id] || !kind_find(description->kind))
            return state_corrupt(description, err);
        restore->descriptions->by_id[description->id] = description;
    }
    return 0;
}

static int state_start(struct restore *restore, struct caesura_error *err)
{
    size_t count = (size_t)restore->context->n_descriptions + 1;
    struct description_restore *state = restore->descriptions = calloc(1, sizeof *state);

    if (!restore->description_fds)
        restore->description_fds = calloc(count, sizeof *restore->description_fds);
    if (state) {
        state->by_id = calloc(count, sizeof *state->by_id);
        state->helpers = calloc(count, sizeof *state->helpers);
        state->late = calloc(count, sizeof *state->late);
        state->is_own = calloc(count, sizeof *state->is_own);
        for (int i = 0; i <= 2; i++)
            state->outside[i] = fcntl(i, F_DUPFD_CLOEXEC, restore->fd_base);
    }
    if (!state || !state->by_id || !state->helpers || !state->late || !state->is_own || !restore->description_fds)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of open files");
    for (size_t i = 0; i < count; i++) {
        restore->description_fds[i] = state->helpers[i] = -1;
        state->late[i].send = state->late[i].receive = -1;
    }
    return ids_check(restore, err);
}

static void close_if(int fd)
{
    if (fd >= 0)
        close(fd);
}

void descriptors_close(struct restore *restore)
{
    struct description_restore *state = restore->descriptions;

    for (uint32_t id = 0; restore->description_fds && id <= restore->context->n_descriptions; id++) {
        close_if(restore->description_fds[id]);
        if (state && state->helpers && state->late) {
            close_if(state->helpers[id]);
            close_if(state->late[id].send);
            close_if(state->late[id].receive);
        }
    }
    free(restore->description_fds);
    restore->description_fds = NULL;
    if (!state)
        return;
    for (int i = 0; i <= 2; i++)
        close_if(state->outside[i]);
    free(state->by_id);
    free(state->helpers);
    free(state->late);
    free(state->is_own);
    free(state);
    restore->descriptions = NULL;
}

/* ---- making ---- */

static bool is_late(const struct restore *restore, const struct description *description)
{
    const struct kind_operations *kind = kind_find(description->kind);
    return kind->is_late && kind->is_late(restore, description);
}

static int late_prepare(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct description_restore *state = restore->descriptions;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends))
        return error_errno(err, errno, "cannot make a socket pair");
    state->late[description->id].send = restore_keep_fd(restore, ends[0], err);
    state->late[description->id].receive = restore_keep_fd(restore, ends[1], err);
    state->n_late++;
    return state->late[description->id].receive < 0 ? state->late[description->id].receive : 0;
}

int restore_open(struct restore *restore, uint32_t id, struct caesura_error *err)
{
    const struct description *description = restore_description(restore, id);

    if (!description)
        return error_set(err, CAESURA_ECORRUPT, "the context refers to open file %u, which it does not hold", id);
    if (restore->description_fds[id] >= 0)
        return 0;
    int rc = kind_find(description->kind)->open(restore, description, err);
    if (!rc && restore->description_fds[id] < 0)
        return state_corrupt(description, err);
    return rc;
}

/* What all kinds have: flags that can be set, and the position. */
static int common_set(const struct restore *restore, const struct description *description, struct caesura_error *err)
{
    int fd = restore->description_fds[description->id];

    if (fd < 0 || kind_find(description->kind)->keeps_flags || restore->descriptions->is_own[description->id])
        return 0;
    int have = fcntl(fd, F_GETFL), want = (have & ~SETTABLE_FLAGS) | ((int)description->flags & SETTABLE_FLAGS);
    if (have != want && fcntl(fd, F_SETFL, want) && fcntl(fd, F_SETFL, want & ~O_NOATIME))
        return error_errno(err, errno, "cannot set the flags of %s", description->name);
    bool has_position = description->kind == DESCRIPTION_FILE || description->kind == DESCRIPTION_FOLDER ||
                        description->kind == DESCRIPTION_PROC;
    if (has_position && description->position && lseek(fd, (off_t)description->position, SEEK_SET) < 0)
        return error_errno(err, errno, "cannot go to byte %llu of %s", (unsigned long long)description->position,
                           description->name);
    return 0;
}

static int round_open(struct restore *restore, struct caesura_error *err)
{
    int rc = 0;

    for (uint32_t id = 1; id <= restore->context->n_descriptions && !rc; id++) {
        const struct description *description = restore_description(restore, id);
        rc = is_late(restore, description) ? late_prepare(restore, description, err) : restore_open(restore, id, err);
    }
    return rc;
}

static int round_fill(struct restore *restore, struct caesura_error *err)
{
    int rc = 0;

    for (uint32_t id = 1; id <= restore->context->n_descriptions && !rc; id++) {
        const struct description *description = restore_description(restore, id);
        const struct kind_operations *kind = kind_find(description->kind);
        if (kind->fill && !is_late(restore, description))
            rc = kind->fill(restore, description, err);
    }
    return rc;
}

static int round_settle(struct restore *restore, struct caesura_error *err)
{
    int rc = 0;

    for (uint32_t id = 1; id <= restore->context->n_descriptions && !rc; id++) {
        const struct description *description = restore_description(restore, id);
        const struct kind_operations *kind = kind_find(description->kind);
        if (kind->settle)
            rc = kind->settle(restore, description, err);
        if (!rc)
            rc = common_set(restore, description, err);
    }
    return rc;
}

int descriptors_open(struct restore *restore, struct caesura_error *err)
{
    struct rlimit limit;

    /* Every description is open here at once, above all descriptor numbers of the processes. */
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    int rc = state_start(restore, err);
    if (!rc)
        rc = round_open(restore, err);
    if (!rc)
        rc = round_fill(restore, err);
    if (!rc)
        rc = round_settle(restore, err);
    for (uint32_t id = 1; id <= restore->context->n_descriptions && !rc; id++) {
        int *helper = &restore->descriptions->helpers[id];
        close_if(*helper);
        *helper = -1;
    }
    return rc ? rc : locks_open(restore, err);
}

/* ---- with processes there ---- */

/* One message for all: each stub that needs the description peeks at it, which gives it a descriptor of its own. */
static int late_send(struct restore *restore, uint32_t id, struct caesura_error *err)
{
    char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *control = CMSG_FIRSTHDR(&message);

    *control = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(control), &restore->description_fds[id], sizeof(int));
    if (sendmsg(restore->descriptions->late[id].send, &message, 0) != 1)
        return error_errno(err, errno, "cannot hand a descriptor to the processes");
    return 0;
}

int descriptors_connect(struct restore *restore, struct caesura_error *err)
{
    int rc = 0;

    for (uint32_t id = 1; id <= restore->context->n_descriptions && !rc; id++) {
        const struct description *description = restore_description(restore, id);
        if (!is_late(restore, description))
            continue;
        rc = restore_open(restore, id, err);
        if (!rc)
            rc = common_set(restore, description, err);
        if (!rc)
            rc = late_send(restore, id, err);
    }
    if (!rc)
        rc = owners_connect(restore, err);
    return rc ? rc : epoll_connect(restore, err);
}
