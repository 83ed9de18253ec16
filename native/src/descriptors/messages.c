/* What is unread in the queues of sockets: looking at it without taking it out, and sending it again. */
#include "descriptors/sockets.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MESSAGES_MAX 100000u
#define RIGHTS_MAX 253 /* SCM_MAX_FD */
#define CONTROL_BYTES 4096
#define DATAGRAM_MAX 65536

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

/* What looking at one message gave. */
struct looked {
    struct sockaddr_storage sender;
    socklen_t sender_size;
    ssize_t size;
    int rights[RIGHTS_MAX]; /* descriptors of ours, to be closed */
    uint32_t n_rights;
};

static void take_control(struct msghdr *message, struct looked *looked)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_len < CMSG_LEN(sizeof(int)))
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        const unsigned char *data = CMSG_DATA(at);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, data + i * sizeof fd, sizeof fd);
            if (at->cmsg_type == SCM_RIGHTS && looked->n_rights < RIGHTS_MAX)
                looked->rights[looked->n_rights++] = fd;
            else if (at->cmsg_type == SCM_RIGHTS || at->cmsg_type == SCM_PIDFD)
                close(fd);
        }
    }
}

/* Peeks at the message at the peek offset; size 0 tells its whole length only. */
static void look(int fd, void *data, size_t size, bool whole_length, struct looked *looked)
{
    char control[CONTROL_BYTES] __attribute__((aligned(8)));
    struct iovec room = {data, size};
    struct msghdr message = {.msg_name = &looked->sender,
                             .msg_namelen = sizeof looked->sender,
                             .msg_iov = &room,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};

    looked->n_rights = 0;
    do
        looked->size =
            recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (whole_length ? MSG_TRUNC : 0));
    while (looked->size < 0 && errno == EINTR);
    if (looked->size < 0)
        return;
    looked->sender_size = message.msg_namelen;
    take_control(&message, looked);
}

static void looked_close(struct looked *looked)
{
    for (uint32_t i = 0; i < looked->n_rights; i++)
        close(looked->rights[i]);
    looked->n_rights = 0;
}

/* What is in the queue of one unix socket: as messages_capture() gives it, but with indices of holders for ids. */
struct queue {
    ino_t ino;
    struct buffer messages;
};

/* A descriptor that travels through a socket becomes a holder of its own, which owns fd. Its index, or a negated code. */
static int traveller_add(struct caesura_capture *capture, uint32_t through, int fd, struct caesura_error *err)
{
    struct description_set *set = capture->descriptions;
    struct holder *holder = list_add(&set->holders, &set->n_holders);
    struct stat st;

    if (!holder) {
        close(fd);
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the list of descriptors");
    }
    const struct holder *socket = &set->holders[through];
    *holder = (struct holder){
        .target = socket->target, .fd = fd, .travels = true, .at_fd = socket->travels ? socket->at_fd : socket->fd};
    if (fstat(fd, &st))
        return error_errno(err, errno, "cannot look at a travelling descriptor");
    holder->dev = st.st_dev;
    holder->ino = st.st_ino;
    holder->mode = st.st_mode;
    return (int)(set->n_holders - 1);
}

/* Sender, bytes, and how many descriptors follow. */
static void append_body(const struct looked *looked, bool named, const struct buffer *data, size_t from,
                        uint32_t n_rights, struct buffer *state)
{
    uint32_t sender_size = named ? looked->sender_size : 0;

    buffer_u32(state, sender_size);
    buffer_bytes(state, &looked->sender, sender_size);
    buffer_u32(state, (uint32_t)(data->size - from));
    buffer_bytes(state, data->data + from, data->size - from);
    buffer_u32(state, n_rights);
}

static int append_message(struct caesura_capture *capture, uint32_t through, struct looked *looked, bool named,
                          const struct buffer *data, size_t from, struct buffer *state, struct caesura_error *err)
{
    uint32_t n_rights = looked->n_rights;

    append_body(looked, named, data, from, n_rights, state);
    looked->n_rights = 0;
    int rc = 0;
    for (uint32_t i = 0; i < n_rights; i++) {
        int index = rc < 0 ? (close(looked->rights[i]), rc) : traveller_add(capture, through, looked->rights[i], err);
        rc = index < 0 ? index : 0;
        buffer_u32(state, (uint32_t)index);
    }
    return rc;
}

/*
 * A look at a stream goes on over bytes that came without descriptors into those that came with some, stops at their end, and
 * does not tell where they begin. So the descriptors are kept with the last byte: whoever reads all at once, or a message
 * of one byte after others, sees no difference.
 */
static int stream_look(struct caesura_capture *capture, uint32_t through, int fd, int size, struct buffer *state,
                       struct caesura_error *err)
{
    size_t count_at = state->size;
    uint32_t count = 0;
    int rc = 0;

    buffer_u32(state, 0);
    for (int left = size; left > 0 && !rc; count++) {
        struct looked looked;
        auto_buffer data = {0};
        void *room = buffer_reserve(&data, (size_t)left);
        if (!room)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the data in a socket");
        look(fd, room, (size_t)left, false, &looked);
        if (looked.size <= 0)
            return error_errno(err, looked.size ? errno : EIO, "cannot look at the data in a socket");
        data.size = (size_t)looked.size;
        left -= (int)looked.size;
        size_t last = looked.n_rights ? data.size - 1 : 0;
        if (last) {
            struct looked plain = {0};
            struct buffer head = {.data = data.data, .size = last};
            rc = append_message(capture, through, &plain, false, &head, 0, state, err);
            count++;
        }
        if (!rc)
            rc = append_message(capture, through, &looked, false, &data, last, state, err);
    }
    buffer_patch_u32(state, count_at, count);
    return rc;
}

/* ended: the other side was shut down, so that an empty message is the end of the queue. */
static int datagrams_look(struct caesura_capture *capture, uint32_t through, int fd, bool ended, struct buffer *state,
                          struct caesura_error *err)
{
    size_t count_at = state->size;
    uint32_t count = 0;
    int rc = 0;

    buffer_u32(state, 0);
    for (; count < MESSAGES_MAX && !rc; count++) {
        struct looked looked;
        auto_buffer data = {0};
        /* First its length. A message without bytes is passed over by a second look, so the first has to do for it. */
        look(fd, NULL, 0, true, &looked);
        if (looked.size < 0 && errno == EAGAIN)
            break;
        if (!looked.size && ended && !looked.n_rights)
            break;
        if (looked.size > 0) {
            looked_close(&looked);
            size_t size = (size_t)looked.size;
            void *room = buffer_reserve(&data, size);
            if (!room)
                return error_set(err, CAESURA_ENOMEM_, "cannot hold the messages in a socket");
            look(fd, room, size, false, &looked);
            if (looked.size >= 0 && looked.size != (ssize_t)size)
                return error_set(err, CAESURA_EIO_, "cannot look at the messages in a socket");
        }
        if (looked.size < 0)
            return error_errno(err, errno, "cannot look at the messages in a socket");
        rc = append_message(capture, through, &looked, true, &data, 0, state, err);
    }
    buffer_patch_u32(state, count_at, count);
    return rc;
}

/* ---- unix sockets: before descriptions are told apart, since more of them may be in the queues ---- */

static int queue_look(struct caesura_capture *capture, uint32_t through, int fd, struct buffer *state,
                      struct caesura_error *err)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN | POLLRDHUP};
    int former = -1, start = 0, size = 0, type = 0, listens = 0, rc;
    socklen_t former_size = sizeof former, type_size = sizeof type, listens_size = sizeof listens;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size))
        return error_errno(err, errno, "cannot look at a socket");
    bool stream = type == SOCK_STREAM;
    /* Not even a look at an empty queue: it would take away an error that waits for the program. */
    if (listens || (stream && (ioctl(fd, FIONREAD, &size) || !size)) || poll(&poller, 1, 0) < 0 ||
        !(poller.revents & POLLIN)) {
        buffer_u32(state, 0);
        return 0;
    }
    getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &former, &former_size);
    if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof start))
        return error_errno(err, errno, "cannot look at the messages in a socket");
    rc = stream ? stream_look(capture, through, fd, size, state, err)
                : datagrams_look(capture, through, fd, poller.revents & POLLRDHUP, state, err);
    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &former, sizeof former);
    return rc;
}

static int compare_queues(const void *a, const void *b)
{
    const struct queue *x = a, *y = b;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* A set of inode numbers: open addressing, 0 is free. */
struct inodes {
    ino_t *slots;
    size_t room, used;
    bool failed;
};

static void inodes_free(struct inodes *inodes)
{
    free(inodes->slots);
}

static bool inodes_put(struct inodes *inodes, ino_t ino)
{
    size_t at = (ino * 0x9e3779b97f4a7c15u) >> 20;

    for (;; at++) {
        ino_t *slot = &inodes->slots[at & (inodes->room - 1)];
        if (*slot == ino)
            return false;
        if (!*slot) {
            *slot = ino;
            inodes->used++;
            return true;
        }
    }
}

/* Whether it is new. */
static bool inodes_add(struct inodes *inodes, ino_t ino)
{
    if (inodes->used * 2 >= inodes->room) {
        struct inodes grown = {.room = inodes->room ? inodes->room * 2 : 64};
        grown.slots = calloc(grown.room, sizeof *grown.slots);
        if (!grown.slots) {
            inodes->failed = true;
            return true;
        }
        for (size_t i = 0; i < inodes->room; i++)
            if (inodes->slots[i])
                inodes_put(&grown, inodes->slots[i]);
        free(inodes->slots);
        *inodes = grown;
    }
    return inodes_put(inodes, ino);
}

/* What travels may be a socket through which others travel: the list of holders grows while it is gone through. */
int queues_list(struct caesura_capture *capture, struct caesura_error *err)
{
    struct description_set *set = capture->descriptions;
    struct inodes inodes __attribute__((cleanup(inodes_free))) = {0};

    for (uint32_t i = 0; i < set->n_holders; i++) {
        const struct holder *holder = &set->holders[i];
        const struct seen seen = {.target = holder->target, .fd = holder->fd, .own = holder->travels ? holder->fd : -1};
        int domain = 0;
        socklen_t size = sizeof domain;
        if (!S_ISSOCK(holder->mode) || holder->is_path)
            continue;
        if (set->n_holders - set->n_held > MESSAGES_MAX)
            return error_set(err, CAESURA_EUNSUPPORTED, "more than %u descriptors travel between processes",
                             MESSAGES_MAX);
        auto_fd fd = seen_open(capture, &seen, err);
        if (fd < 0)
            return fd;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) || domain != AF_UNIX)
            continue;
        /* A second look would not see messages without bytes: each socket only once, however many descriptors it has. */
        ino_t ino = holder->ino;
        if (!inodes_add(&inodes, ino))
            continue;
        struct queue *queue = list_add(&set->queues, &set->n_queues);
        if (!queue || inodes.failed)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the messages in a socket");
        queue->ino = ino;
        int rc = queue_look(capture, i, fd, &queue->messages, err);
        if (rc)
            return rc;
    }
    if (set->n_queues)
        qsort(set->queues, set->n_queues, sizeof *set->queues, compare_queues);
    return 0;
}

void queues_free(struct description_set *set)
{
    for (uint32_t i = 0; i < set->n_queues; i++)
        buffer_free(&set->queues[i].messages);
    free(set->queues);
}

/* Indices of holders become ids of descriptions. */
static int queue_append(const struct description_set *set, const struct queue *queue, struct buffer *state)
{
    struct reader reader = {.data = queue->messages.data, .left = queue->messages.size};
    struct message message;
    uint32_t count = reader_u32(&reader);

    buffer_u32(state, count);
    for (; count && message_next(&reader, &message); count--) {
        buffer_u32(state, message.sender_size);
        buffer_bytes(state, message.sender, message.sender_size);
        buffer_u32(state, message.size);
        buffer_bytes(state, message.data, message.size);
        buffer_u32(state, message.n_rights);
        for (uint32_t i = 0; i < message.n_rights; i++)
            buffer_u32(state, set->holders[reader_u32(&message.rights)].description);
    }
    return 0;
}

/* ---- UDP ---- */

static int udp_capture(int fd, struct buffer *state, struct caesura_error *err)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int former = -1, start = 0;
    socklen_t former_size = sizeof former;
    size_t count_at = state->size;
    uint32_t count = 0;

    buffer_u32(state, 0);
    if (poll(&poller, 1, 0) < 0 || !(poller.revents & POLLIN))
        return 0;
    auto_memory char *room = malloc(DATAGRAM_MAX);
    if (!room)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the messages in a socket");
    getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &former, &former_size);
    if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof start))
        return error_errno(err, errno, "cannot look at the messages in a socket");
    for (; count < MESSAGES_MAX; count++) {
        struct looked looked;
        look(fd, room, DATAGRAM_MAX, false, &looked);
        if (looked.size < 0)
            break;
        struct buffer data = {.data = (uint8_t *)room, .size = (size_t)looked.size};
        append_body(&looked, true, &data, 0, 0, state); /* descriptors travel through unix sockets only */
    }
    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &former, sizeof former);
    buffer_patch_u32(state, count_at, count);
    return 0;
}

int messages_capture(const struct caesura_capture *capture, const struct seen *seen, int fd, struct buffer *state,
                     struct caesura_error *err)
{
    const struct description_set *set = capture->descriptions;
    struct queue key = {.ino = seen->st.st_ino};

    if (seen->domain != AF_UNIX)
        return udp_capture(fd, state, err);
    const struct queue *queue =
        set->n_queues ? bsearch(&key, set->queues, set->n_queues, sizeof key, compare_queues) : NULL;
    if (!queue)
        return error_set(err, CAESURA_EENGINE, "the queue of %s has not been looked at",
                         seen_record(capture, seen)->name);
    return queue_append(set, queue, state);
}

bool message_next(struct reader *state, struct message *message)
{
    *message = (struct message){0};
    message->sender_size = reader_u32(state);
    message->sender = reader_bytes(state, message->sender_size);
    message->size = reader_u32(state);
    message->data = reader_bytes(state, message->size);
    message->n_rights = reader_u32(state);
    if (message->n_rights > RIGHTS_MAX || message->sender_size > sizeof(struct sockaddr_storage))
        state->failed = true;
    message->rights = reader_sub(state, (size_t)message->n_rights * 4);
    return !state->failed;
}

int message_send(const struct restore *restore, int fd, const struct message *message, const void *address,
                 socklen_t size)
{
    char control[CMSG_SPACE(RIGHTS_MAX * sizeof(int))] __attribute__((aligned(8))) = {0};
    const uint8_t *data = message->data;
    struct reader rights = message->rights;
    size_t left = message->size;

    do {
        struct iovec piece = {(void *)(uintptr_t)data, left};
        struct msghdr header = {
            .msg_name = (void *)(uintptr_t)address, .msg_namelen = size, .msg_iov = &piece, .msg_iovlen = 1};
        if (message->n_rights && left == message->size) {
            struct cmsghdr *cmsg = (struct cmsghdr *)control;
            *cmsg = (struct cmsghdr){.cmsg_len = CMSG_LEN(message->n_rights * sizeof(int)),
                                     .cmsg_level = SOL_SOCKET,
                                     .cmsg_type = SCM_RIGHTS};
            for (uint32_t i = 0; i < message->n_rights; i++) {
                int right = restore_fd(restore, reader_u32(&rights));
                memcpy(CMSG_DATA(cmsg) + i * sizeof right, &right, sizeof right);
            }
            header.msg_control = control;
            header.msg_controllen = CMSG_SPACE(message->n_rights * sizeof(int));
        }
        ssize_t sent = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return -errno;
        data += sent > 0 ? sent : 0;
        left -= sent > 0 ? (size_t)sent : 0;
    } while (left);
    return 0;
}
