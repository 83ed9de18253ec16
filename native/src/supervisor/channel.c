#include "supervisor/channel.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/error.h"

int channel_open(int ends[2], struct caesura_error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_errno(err, errno, "cannot make a socket pair for the supervisor");
    return 0;
}

static int send_message(int channel, const struct channel_message *message, size_t size, int passed)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)message, .iov_len = size};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    if (passed >= 0) {
        packet.msg_control = &control;
        packet.msg_controllen = sizeof control;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
    }
    while (sendmsg(channel, &packet, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int channel_send(int channel, enum channel_kind kind, int value, int passed)
{
    struct channel_message message = {.kind = (int32_t)kind, .value = value};

    return send_message(channel, &message, offsetof(struct channel_message, error), passed);
}

int channel_send_error(int channel, const struct caesura_error *err)
{
    struct channel_message message = {.kind = CHANNEL_FAILED, .value = err->code, .error = *err};

    return send_message(channel, &message, sizeof message, -1);
}

int channel_receive(int channel, bool wait, struct channel_message *message, int *passed)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = sizeof *message};
    struct msghdr packet = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t size;

    *passed = -1;
    memset(message, 0, sizeof *message);
    do
        size = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return errno == ECONNRESET ? 0 : -errno;
    if (size == 0)
        return 0;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(passed, CMSG_DATA(header), sizeof *passed);
    return (size_t)size < offsetof(struct channel_message, error) ? -EPROTO : 1;
}

bool channel_is_dead(int channel)
{
    struct pollfd entry = {.fd = channel};

    return poll(&entry, 1, 0) == 1 && (entry.revents & (POLLHUP | POLLERR | POLLNVAL));
}
