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

/* Descriptors that travel: only those that some process of the scope holds, too. */
static void append_rights(struct caesura_capture *capture, const struct seen *seen, struct looked *looked,
                          struct buffer *state, bool *refused)
{
    buffer_u32(state, looked->n_rights);
    for (uint32_t i = 0; i < looked->n_rights; i++) {
        const struct seen *same = seen_same_as(capture, looked->rights[i]);
        if (!same && !*refused) {
            *refused = true;
            seen_refuse(capture, seen, "try again when the descriptors sent have been received",
                        "%s, in which a descriptor travels that no process of the scope holds",
                        seen_record(capture, seen)->name);
        }
        buffer_u32(state, same ? same->id : 0);
    }
    looked_close(looked);
}

static void append_message(struct caesura_capture *capture, const struct seen *seen, struct looked *looked, bool named,
                           size_t data_at, struct buffer *data, struct buffer *state, bool *refused)
{
    uint32_t sender_size = named ? looked->sender_size : 0;

    buffer_u32(state, sender_size);
    buffer_bytes(state, &looked->sender, sender_size);
    buffer_u32(state, (uint32_t)(data->size - data_at));
    buffer_bytes(state, data->data + data_at, data->size - data_at);
    append_rights(capture, seen, looked, state, refused);
}

/*
 * A look at a stream goes on over bytes that came without descriptors into those that came with some, stops at their end, and
 * does not tell where they begin. So the descriptors are kept with the last byte: whoever reads all at once, or a message
 * of one byte after others, sees no difference.
 */
static int stream_capture(struct caesura_capture *capture, const struct seen *seen, int fd, int size,
                          struct buffer *state, bool *refused, struct caesura_error *err)
{
    size_t count_at = state->size;
    uint32_t count = 0;

    buffer_u32(state, 0);
    for (int left = size; left > 0 && !*refused; count++) {
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
        if (looked.n_rights && data.size > 1) {
            struct looked plain = {0};
            auto_buffer head = {0};
            buffer_bytes(&head, data.data, data.size - 1);
            append_message(capture, seen, &plain, false, 0, &head, state, refused);
            count++;
        }
        append_message(capture, seen, &looked, false, looked.n_rights ? data.size - 1 : 0, &data, state, refused);
    }
    buffer_patch_u32(state, count_at, count);
    return 0;
}

static int datagrams_capture(struct caesura_capture *capture, const struct seen *seen, int fd, bool ended,
                             struct buffer *state, bool *refused, struct caesura_error *err)
{
    size_t count_at = state->size;
    uint32_t count = 0;

    buffer_u32(state, 0);
    for (; count < MESSAGES_MAX && !*refused; count++) {
        struct looked looked;
        auto_buffer data = {0};
        if (seen->domain != AF_UNIX) {
            /* UDP: the length is limited, and a look at the length alone would already go on to the next. */
            void *room = buffer_reserve(&data, DATAGRAM_MAX);
            if (!room)
                return error_set(err, CAESURA_ENOMEM_, "cannot hold the messages in a socket");
            look(fd, room, DATAGRAM_MAX, false, &looked);
            if (looked.size < 0 && errno == EAGAIN)
                break;
            if (looked.size < 0)
                return error_errno(err, errno, "cannot look at the messages in a socket");
            data.size = (size_t)looked.size;
            append_message(capture, seen, &looked, true, 0, &data, state, refused);
            continue;
        }
        /* First its length. A message without bytes is passed over by a second look, so the first has to do for it. */
        look(fd, NULL, 0, true, &looked);
        if (looked.size < 0 && errno == EAGAIN)
            break;
        if (looked.size < 0)
            return error_errno(err, errno, "cannot look at the messages in a socket");
        if (!looked.size && ended && !looked.n_rights)
            break;
        if (looked.size) {
            looked_close(&looked);
            size_t size = (size_t)looked.size;
            void *room = buffer_reserve(&data, size);
            if (!room)
                return error_set(err, CAESURA_ENOMEM_, "cannot hold the messages in a socket");
            look(fd, room, size, false, &looked);
            if (looked.size != (ssize_t)size)
                return error_errno(err, looked.size < 0 ? errno : EIO, "cannot look at the messages in a socket");
        }
        append_message(capture, seen, &looked, true, 0, &data, state, refused);
    }
    buffer_patch_u32(state, count_at, count);
    return 0;
}

int messages_capture(struct caesura_capture *capture, const struct seen *seen, int fd, bool ended, struct buffer *state,
                     bool *refused, struct caesura_error *err)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int former = -1, start = 0, size = 0, rc;
    socklen_t former_size = sizeof former;
    bool stream = seen->type == SOCK_STREAM;

    /* Not even a look at an empty queue: it would take away an error that waits for the program. */
    if ((stream && (ioctl(fd, FIONREAD, &size) || !size)) || poll(&poller, 1, 0) < 0 || !(poller.revents & POLLIN)) {
        buffer_u32(state, 0);
        return 0;
    }
    getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &former, &former_size);
    if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof start))
        return error_errno(err, errno, "cannot look at the messages in a socket");
    rc = stream ? stream_capture(capture, seen, fd, size, state, refused, err)
                : datagrams_capture(capture, seen, fd, ended, state, refused, err);
    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &former, sizeof former);
    return rc;
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
