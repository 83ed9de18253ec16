/* Options of sockets: all that can be read and set again. */
#include "descriptors/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* Linux 5.14 */
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 /* Linux 6.5 */
#endif
#define BUFFER_SEND_LOCKED 1
#define BUFFER_RECEIVE_LOCKED 2

struct option {
    int level, name, domain, type; /* domain and type 0: any */
    bool early;                    /* belongs to how messages are received: before the queue is filled */
};

static const struct option options[] = {
    {SOL_SOCKET, SO_PASSCRED, AF_UNIX, 0, true},
    {SOL_SOCKET, SO_PASSSEC, AF_UNIX, 0, true},
    {SOL_SOCKET, SO_PASSPIDFD, AF_UNIX, 0, true},
    {SOL_SOCKET, SO_TIMESTAMP, 0, 0, true},
    {SOL_SOCKET, SO_TIMESTAMPNS, 0, 0, true},
    {SOL_SOCKET, SO_SNDBUF, 0, 0, false},
    {SOL_SOCKET, SO_RCVBUF, 0, 0, false},
    {SOL_SOCKET, SO_LINGER, 0, 0, false},
    {SOL_SOCKET, SO_RCVTIMEO, 0, 0, false},
    {SOL_SOCKET, SO_SNDTIMEO, 0, 0, false},
    {SOL_SOCKET, SO_RCVLOWAT, 0, 0, false},
    {SOL_SOCKET, SO_PRIORITY, 0, 0, false},
    {SOL_SOCKET, SO_KEEPALIVE, 0, 0, false},
    {SOL_SOCKET, SO_REUSEADDR, 0, 0, false},
    {SOL_SOCKET, SO_REUSEPORT, AF_INET, 0, false},
    {SOL_SOCKET, SO_REUSEPORT, AF_INET6, 0, false},
    {SOL_SOCKET, SO_BROADCAST, 0, 0, false},
    {SOL_SOCKET, SO_OOBINLINE, 0, 0, false},
    {SOL_SOCKET, SO_DONTROUTE, 0, 0, false},
    {SOL_SOCKET, SO_MARK, 0, 0, false},
    {SOL_SOCKET, SO_BINDTODEVICE, AF_INET, 0, false},
    {SOL_SOCKET, SO_BINDTODEVICE, AF_INET6, 0, false},
    {SOL_SOCKET, SO_PEEK_OFF, AF_UNIX, 0, false},
    {SOL_SOCKET, SO_BUSY_POLL, AF_INET, 0, false},
    {IPPROTO_TCP, TCP_NODELAY, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_NODELAY, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_CORK, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_CORK, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_KEEPIDLE, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_KEEPIDLE, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_KEEPINTVL, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_KEEPINTVL, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_KEEPCNT, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_KEEPCNT, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_QUICKACK, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_QUICKACK, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, AF_INET, SOCK_STREAM, false},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, AF_INET6, SOCK_STREAM, false},
    {IPPROTO_IP, IP_TTL, AF_INET, 0, false},
    {IPPROTO_IP, IP_TOS, AF_INET, 0, false},
    {IPPROTO_IP, IP_RECVERR, AF_INET, 0, false},
    {IPPROTO_IP, IP_PKTINFO, AF_INET, 0, false},
    {IPPROTO_IP, IP_MTU_DISCOVER, AF_INET, 0, false},
    {IPPROTO_IP, IP_FREEBIND, AF_INET, 0, false},
    {IPPROTO_IP, IP_MULTICAST_TTL, AF_INET, SOCK_DGRAM, false},
    {IPPROTO_IP, IP_MULTICAST_LOOP, AF_INET, SOCK_DGRAM, false},
    {IPPROTO_IPV6, IPV6_V6ONLY, AF_INET6, 0, false},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, AF_INET6, 0, false},
    {IPPROTO_IPV6, IPV6_TCLASS, AF_INET6, 0, false},
    {IPPROTO_IPV6, IPV6_RECVERR, AF_INET6, 0, false},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, AF_INET6, 0, false},
};

#define N_OPTIONS (sizeof options / sizeof *options)
#define VALUE_MAX 64

/* TCP sizes its buffers by itself unless they were set: setting them would end that. */
static bool is_sized_by_kernel(int fd, int domain, int type, int name)
{
    int locked = BUFFER_SEND_LOCKED | BUFFER_RECEIVE_LOCKED;
    socklen_t size = sizeof locked;

    if (domain == AF_UNIX || type != SOCK_STREAM || (name != SO_SNDBUF && name != SO_RCVBUF))
        return false;
    if (getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locked, &size))
        return true;
    return !(locked & (name == SO_SNDBUF ? BUFFER_SEND_LOCKED : BUFFER_RECEIVE_LOCKED));
}

void options_capture(int fd, int domain, int type, struct buffer *state)
{
    size_t at = state->size;
    uint32_t count = 0;

    buffer_u32(state, 0);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct option *option = &options[i];
        uint8_t value[VALUE_MAX];
        socklen_t size = sizeof value;
        bool fits = (!option->domain || option->domain == domain) && (!option->type || option->type == type) &&
                    (option->level == SOL_SOCKET || domain != AF_UNIX);
        if (!fits || is_sized_by_kernel(fd, domain, type, option->level == SOL_SOCKET ? option->name : -1) ||
            getsockopt(fd, option->level, option->name, value, &size))
            continue;
        buffer_u32(state, (uint32_t)option->level);
        buffer_u32(state, (uint32_t)option->name);
        buffer_u32(state, size);
        buffer_bytes(state, value, size);
        count++;
    }
    buffer_patch_u32(state, at, count);
}

void options_skip(struct reader *state)
{
    for (uint32_t count = reader_u32(state); count && !state->failed; count--) {
        reader_bytes(state, 8);
        reader_bytes(state, reader_u32(state));
    }
}

static bool option_set(int fd, int level, int name, const void *value, socklen_t size)
{
    if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF) && size == sizeof(int)) {
        /* The kernel shows twice of what was set. */
        int half, now = 0;
        memcpy(&half, value, sizeof half);
        half /= 2;
        socklen_t now_size = sizeof now;
        if (!setsockopt(fd, level, name == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE, &half, sizeof half))
            return true;
        return !setsockopt(fd, level, name, &half, sizeof half) && !getsockopt(fd, level, name, &now, &now_size) &&
               now >= 2 * half;
    }
    return !setsockopt(fd, level, name, value, size);
}

void options_restore(const struct restore *restore, const struct description *description, int fd, struct reader state,
                     bool early)
{
    for (uint32_t count = reader_u32(&state); count && !state.failed; count--) {
        int level = (int)reader_u32(&state), name = (int)reader_u32(&state);
        uint32_t size = reader_u32(&state);
        const void *value = reader_bytes(&state, size);
        uint8_t now[VALUE_MAX];
        socklen_t now_size = sizeof now;
        bool known = false;
        /* Only what this table knows: a context could ask for anything. */
        for (size_t i = 0; i < N_OPTIONS; i++)
            known |= options[i].level == level && options[i].name == name && (!early || options[i].early);
        if (!value || !known || getsockopt(fd, level, name, now, &now_size) ||
            (now_size == size && !memcmp(now, value, size)))
            continue;
        if (!option_set(fd, level, name, value, size))
            restore_note(restore, "option %d/%d of %s cannot be set again: %s", level, name, description->name,
                         strerror(errno));
    }
}
