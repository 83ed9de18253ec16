/* Internet sockets, looking: addresses, and connections of which both ends are in the scope. */
#include "descriptors/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/crc32c.h"

#define STATE_ESTABLISHED 1 /* include/net/tcp_states.h */
#define STATE_FIN_WAIT1 4
#define STATE_FIN_WAIT2 5
#define STATE_CLOSE 7
#define STATE_CLOSE_WAIT 8
#define STATE_LISTEN 10

struct inet_address {
    struct sockaddr_storage bytes;
    socklen_t size; /* 0: none */
};

/* Address and port in one form for both families. */
struct plain_address {
    uint8_t ip[16];
    uint16_t port;
};

static void take_addresses(int fd, struct inet_address *own, struct inet_address *other)
{
    own->size = other->size = sizeof own->bytes;
    if (getsockname(fd, (struct sockaddr *)&own->bytes, &own->size))
        own->size = 0;
    if (getpeername(fd, (struct sockaddr *)&other->bytes, &other->size))
        other->size = 0;
}

static struct plain_address plain(const struct inet_address *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->bytes;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->bytes;
    struct plain_address result = {.ip = {[10] = 0xff, [11] = 0xff}};

    if (address->bytes.ss_family == AF_INET6) {
        memcpy(result.ip, &v6->sin6_addr, sizeof result.ip);
        result.port = v6->sin6_port;
    } else {
        memcpy(result.ip + 12, &v4->sin_addr, sizeof v4->sin_addr);
        result.port = v4->sin_port;
    }
    return result;
}

void inet_look(struct seen *seen, int fd)
{
    struct inet_address own, other;

    if ((seen->domain != AF_INET && seen->domain != AF_INET6) || seen->type != SOCK_STREAM)
        return;
    take_addresses(fd, &own, &other);
    if (!own.size || !other.size)
        return;
    struct plain_address a = plain(&own), b = plain(&other);
    uint64_t own_sum = crc32c(0, &a, sizeof a), other_sum = crc32c(0, &b, sizeof b);
    seen->ends = own_sum << 32 | other_sum;
    seen->ends_swapped = other_sum << 32 | own_sum;
}

bool inet_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    (void)capture;
    if (!seen->type || (seen->domain != AF_INET && seen->domain != AF_INET6))
        return false;
    return (seen->type == SOCK_STREAM && seen->protocol == IPPROTO_TCP) ||
           (seen->type == SOCK_DGRAM && seen->protocol == IPPROTO_UDP);
}

static void print_address(const struct inet_address *address, char *text, size_t room)
{
    struct plain_address wanted = plain(address);
    char ip[INET6_ADDRSTRLEN] = "?";

    if (address->bytes.ss_family == AF_INET6)
        inet_ntop(AF_INET6, wanted.ip, ip, sizeof ip);
    else
        inet_ntop(AF_INET, wanted.ip + 12, ip, sizeof ip);
    snprintf(text, room, "%s port %u", ip, ntohs(wanted.port));
}

static const struct seen *find_other_end(const struct caesura_capture *capture, const struct seen *seen)
{
    for (uint32_t i = 0; seen->ends && i < capture->descriptions->n_sockets; i++) {
        const struct seen *other = capture->descriptions->sockets[i];
        if (other != seen && other->ends == seen->ends_swapped)
            return other;
    }
    return NULL;
}

static int tcp_info(int fd, struct tcp_info *info)
{
    socklen_t size = sizeof *info;

    memset(info, 0, sizeof *info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) ? -errno : 0;
}

/* Whether all that this end has sent is in the other's queue, where it can be looked at. */
static bool has_arrived(int fd, const struct tcp_info *info, int other)
{
    struct tcp_info there;
    int unsent = 0, unacknowledged = 0;

    if (ioctl(fd, SIOCOUTQNSD, &unsent) || unsent || ioctl(fd, SIOCOUTQ, &unacknowledged))
        return false;
    /* The acknowledgement may be late while the data is there. */
    return !unacknowledged ||
           (!tcp_info(other, &there) && there.tcpi_bytes_received >= info->tcpi_bytes_sent - info->tcpi_bytes_retrans);
}

/* A connection: only with both ends here. *refused as in messages_capture(). */
static int tcp_connected(struct caesura_capture *capture, const struct seen *seen, int fd, const struct tcp_info *info,
                         const struct inet_address *other, uint32_t *peer, bool *refused, struct caesura_error *err)
{
    const struct seen *end = find_other_end(capture, seen);
    char text[INET6_ADDRSTRLEN + 16];

    print_address(other, text, sizeof text);
    *refused = true;
    if (!end)
        return seen_refuse(
            capture, seen,
            "close the connection before the checkpoint, or take the process at its other end into the scope",
            "a TCP connection to %s outside of the scope", text);
    if (info->tcpi_state != STATE_ESTABLISHED && info->tcpi_state != STATE_FIN_WAIT1 &&
        info->tcpi_state != STATE_FIN_WAIT2 && info->tcpi_state != STATE_CLOSE_WAIT)
        return seen_refuse(capture, seen, "try again in a moment",
                           "a TCP connection to %s that is being opened or closed", text);
    auto_fd there = seen_open(capture, end, err);
    if (there < 0)
        return there;
    if (!has_arrived(fd, info, there))
        return seen_refuse(capture, seen, "try again when the other end has read more",
                           "a TCP connection to %s with data that has been sent and has not arrived", text);
    *peer = end->id;
    *refused = false;
    return 0;
}

static int tcp_unread(int fd, struct buffer *state, struct caesura_error *err)
{
    int size = 0;

    ioctl(fd, FIONREAD, &size);
    buffer_u32(state, size > 0);
    if (size <= 0)
        return 0;
    buffer_u32(state, 0);
    buffer_u32(state, (uint32_t)size);
    void *room = buffer_reserve(state, (size_t)size);
    if (!room)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the data in a socket");
    if (recv(fd, room, (size_t)size, MSG_PEEK | MSG_DONTWAIT) != size)
        return error_errno(err, errno, "cannot look at the data in a socket");
    buffer_u32(state, 0);
    return 0;
}

/* State: domain, type, role, peer, shut down for sending, backlog, own address, other's, options, messages. */
int inet_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    struct inet_address own, other;
    struct tcp_info info = {0};
    auto_buffer state = {0};
    uint32_t role = INET_ALONE, peer = 0;
    bool refused = false, tcp = seen->type == SOCK_STREAM;
    int rc = tcp ? tcp_info(fd, &info) : 0;

    if (rc)
        return error_errno(err, -rc, "cannot look at a TCP socket");
    take_addresses(fd, &own, &other);
    if (tcp && info.tcpi_state == STATE_LISTEN) {
        role = INET_LISTENS;
        if (info.tcpi_unacked)
            capture_log(capture, CAESURA_LOG_WARNING,
                        "process %d, descriptor %d: %u connections that wait to be accepted are left out",
                        seen_pid(capture, seen), seen->fd, info.tcpi_unacked);
    } else if (tcp && info.tcpi_state == STATE_CLOSE && info.tcpi_segs_in) {
        return seen_refuse(capture, seen, "try again when the program has closed it",
                           "a TCP connection that has ended");
    } else if (tcp && info.tcpi_state != STATE_CLOSE) {
        role = INET_PEER;
        if (seen_stdio(capture, seen) >= 0 && !find_other_end(capture, seen))
            return outside_capture(capture, seen, OUTSIDE_SOCKET, NULL, err);
        rc = tcp_connected(capture, seen, fd, &info, &other, &peer, &refused, err);
        if (rc || refused)
            return rc;
    }
    buffer_u32(&state, (uint32_t)seen->domain);
    buffer_u32(&state, (uint32_t)seen->type);
    buffer_u32(&state, role);
    buffer_u32(&state, peer);
    buffer_u32(&state, tcp && (info.tcpi_state == STATE_FIN_WAIT1 || info.tcpi_state == STATE_FIN_WAIT2));
    buffer_u32(&state, role == INET_LISTENS ? info.tcpi_sacked : 0);
    buffer_u32(&state, own.size);
    buffer_bytes(&state, &own.bytes, own.size);
    buffer_u32(&state, other.size);
    buffer_bytes(&state, &other.bytes, other.size);
    options_capture(fd, seen->domain, seen->type, &state);
    if (role == INET_LISTENS)
        buffer_u32(&state, 0);
    else
        rc = tcp ? tcp_unread(fd, &state, err) : messages_capture(capture, seen, fd, &state, err);
    return rc ? rc : state_set(seen_record(capture, seen), &state, err);
}
