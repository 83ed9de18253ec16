/*
 * fd_unix.c - unix sockets within the scope, with data in flight in both directions: pairs, bound names, options, shutdown.
 * Cases: stream dgram seqpacket processes shutdown closed named connected abstract options full rights
 * Driver: either=rights
 */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "victim.h"

static int fds[2];
static char buffer[1 << 20];

static void send_text(int fd, const char *text)
{
    check(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text), "send: %s", strerror(errno));
}

static void expect(int fd, const char *text)
{
    ssize_t n = recv(fd, buffer, sizeof buffer - 1, MSG_DONTWAIT);
    check(n >= 0, "recv: %s", strerror(errno));
    buffer[n > 0 ? n : 0] = '\0';
    same_text("data", buffer, text);
}

static void nothing_left(int fd)
{
    check(recv(fd, buffer, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "more data than there was");
}

/* Messages of a stream melt into one. */
static void pair(int type)
{
    need(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == 0);
    send_text(fds[0], "one");
    send_text(fds[0], "three");
    send_text(fds[1], "back");
    if (type != SOCK_STREAM)
        need(send(fds[1], "", 0, 0) == 0);
    ready();
    wait_go();
    expect(fds[1], type == SOCK_STREAM ? "onethree" : "one");
    if (type != SOCK_STREAM)
        expect(fds[1], "three");
    expect(fds[0], "back");
    if (type == SOCK_DGRAM)
        expect(fds[0], "");
    nothing_left(fds[1]);
    send_text(fds[1], "new");
    if (type == SOCK_SEQPACKET)
        expect(fds[0], "");
    expect(fds[0], "new");
    int is = 0;
    socklen_t length = sizeof is;
    check(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &is, &length) == 0 && is == type, "type is %d", is);
    same("close-on-exec", fcntl(fds[0], F_GETFD), FD_CLOEXEC);
}

static void processes(void)
{
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    send_text(fds[1], "to the child");
    pid_t child = fork_child();
    if (child == 0) {
        close(fds[1]);
        send_text(fds[0], "to the parent");
        mark("child");
        wait_go();
        expect(fds[0], "to the child");
        finish();
    }
    close(fds[0]);
    await_mark("child");
    ready();
    wait_go();
    reap(child);
    expect(fds[1], "to the parent");
    check(recv(fds[1], buffer, 1, 0) == 0, "no end of file after the child");
}

static void half_shut(void)
{
    signal(SIGPIPE, SIG_IGN);
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    send_text(fds[0], "last words");
    need(shutdown(fds[0], SHUT_WR) == 0);
    ready();
    wait_go();
    expect(fds[1], "last words");
    check(recv(fds[1], buffer, 1, MSG_DONTWAIT) == 0, "no end of file after shutdown()");
    check(send(fds[0], "x", 1, 0) < 0 && errno == EPIPE, "send after shutdown(): %s", strerror(errno));
    send_text(fds[1], "the other way");
    expect(fds[0], "the other way");
}

static void other_closed(void)
{
    signal(SIGPIPE, SIG_IGN);
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    send_text(fds[0], "last words");
    close(fds[0]);
    ready();
    wait_go();
    expect(fds[1], "last words");
    check(recv(fds[1], buffer, 1, MSG_DONTWAIT) == 0, "no end of file");
    check(send(fds[1], "x", 1, 0) < 0 && errno == EPIPE, "send to nobody: %s", strerror(errno));
}

static struct sockaddr_un name_of(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    copy_text(address.sun_path, sizeof address.sun_path, name);
    return address;
}

/* Datagrams to a bound name. */
static void named(void)
{
    struct sockaddr_un server = name_of("server"), client = name_of("client"), from = {0};
    socklen_t length = sizeof from;
    for (int i = 0; i < 2; i++)
        need((fds[i] = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0);
    need(bind(fds[0], (struct sockaddr *)&server, sizeof server) == 0);
    need(bind(fds[1], (struct sockaddr *)&client, sizeof client) == 0);
    need(sendto(fds[1], "early", 5, 0, (struct sockaddr *)&server, sizeof server) == 5);
    ready();
    wait_go();
    ssize_t n = recvfrom(fds[0], buffer, sizeof buffer, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
    check(n == 5 && memcmp(buffer, "early", 5) == 0, "recvfrom: %zd %s", n, strerror(errno));
    same_text("sender", from.sun_path, "client");
    check(sendto(fds[1], "late", 4, 0, (struct sockaddr *)&server, sizeof server) == 4, "sendto: %s", strerror(errno));
    expect(fds[0], "late");
    int third = socket(AF_UNIX, SOCK_DGRAM, 0);
    check(connect(third, (struct sockaddr *)&server, sizeof server) == 0, "connect: %s", strerror(errno));
    send_text(third, "new");
    expect(fds[0], "new");
}

/* A stream connection that came about by listen() and accept(). */
static void connected(struct sockaddr_un address, socklen_t length)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    need(listener >= 0 && bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 3) == 0);
    need((fds[0] = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    need(connect(fds[0], (struct sockaddr *)&address, length) == 0);
    need((fds[1] = accept(listener, NULL, NULL)) >= 0);
    send_text(fds[0], "early");
    struct sockaddr_un now = {0};
    socklen_t size = sizeof now;
    /* The kernel cuts a path off at its NUL. */
    need(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    ready();
    wait_go();
    expect(fds[1], "early");
    check(getpeername(fds[0], (struct sockaddr *)&now, &size) == 0, "getpeername: %s", strerror(errno));
    check(size == length && memcmp(&now, &address, length) == 0, "the peer's name has changed");
    size = sizeof now;
    check(getsockname(fds[1], (struct sockaddr *)&now, &size) == 0, "getsockname: %s", strerror(errno));
    check(size == length && memcmp(&now, &address, length) == 0, "the socket's name has changed");
    struct ucred peer = {0};
    size = sizeof peer;
    check(getsockopt(fds[1], SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0, "SO_PEERCRED: %s", strerror(errno));
    same("uid of the peer", peer.uid, getuid());
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    check(connect(client, (struct sockaddr *)&address, length) == 0, "connect: %s", strerror(errno));
    send_text(client, "new");
    expect(accept(listener, NULL, NULL), "new");
}

static void abstract(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "caesura-victim.%.80s",
                     strrchr(victim_folder, '/') + 1);
    connected(address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n));
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    check(getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0, "getsockopt: %s", strerror(errno));
    return value;
}

static void options(void)
{
    struct timeval limit = {.tv_sec = 5, .tv_usec = 300000}, now = {0};
    socklen_t length = sizeof now;
    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    need(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &(int){50000}, sizeof(int)) == 0);
    need(setsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &(int){60000}, sizeof(int)) == 0);
    need(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)) == 0);
    need(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    int send_buffer = option(fds[0], SO_SNDBUF), receive_buffer = option(fds[0], SO_RCVBUF);
    ready();
    wait_go();
    same("SO_SNDBUF", option(fds[0], SO_SNDBUF), send_buffer);
    same("SO_RCVBUF", option(fds[0], SO_RCVBUF), receive_buffer);
    same("SO_PASSCRED", option(fds[0], SO_PASSCRED), 1);
    same("SO_PASSCRED of the other", option(fds[1], SO_PASSCRED), 0);
    check(getsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &now, &length) == 0, "getsockopt: %s", strerror(errno));
    same("SO_RCVTIMEO", now.tv_sec * 1000000 + now.tv_usec, limit.tv_sec * 1000000 + limit.tv_usec);
    same("flags", fcntl(fds[1], F_GETFL), O_RDWR | O_NONBLOCK);
}

static void full(void)
{
    size_t sent = 0, got = 0;
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    fill(buffer, sizeof buffer, 1);
    for (ssize_t n; (n = send(fds[0], buffer + sent, 3000, MSG_DONTWAIT)) > 0;)
        sent += (size_t)n;
    ready();
    wait_go();
    static char now[sizeof buffer];
    for (ssize_t n; (n = recv(fds[1], now + got, sizeof now - got, MSG_DONTWAIT)) > 0;)
        got += (size_t)n;
    same("bytes in flight", got, sent);
    check_pattern(now, sent, 1);
}

/* A descriptor that is itself in flight. */
static void rights(void)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'd';
    struct iovec v = {&byte, 1};
    struct msghdr message = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    write_file("data", "contents", 8);
    int fd = open("data", O_RDONLY);
    need(fd >= 0 && lseek(fd, 3, SEEK_SET) == 3);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    need(sendmsg(fds[0], &message, 0) == 1);
    close(fd);
    ready();
    wait_go();
    memset(control, 0, sizeof control);
    check(recvmsg(fds[1], &message, MSG_DONTWAIT) == 1, "recvmsg: %s", strerror(errno));
    header = CMSG_FIRSTHDR(&message);
    check(header && header->cmsg_type == SCM_RIGHTS, "the descriptor is lost");
    if (header) {
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
        check(read(fd, buffer, 10) == 5 && memcmp(buffer, "tents", 5) == 0, "the descriptor reads something else");
    }
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"processes", processes}, {"shutdown", half_shut}, {"closed", other_closed}, {"named", named},
                 {"abstract", abstract},   {"options", options},    {"full", full},           {"rights", rights}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(name, cases[i].name) == 0)
            cases[i].run();
    if (strcmp(name, "connected") == 0)
        connected(name_of("socket"), sizeof(struct sockaddr_un));
    else if (strcmp(name, "stream") == 0 || strcmp(name, "dgram") == 0 || strcmp(name, "seqpacket") == 0)
        pair(name[1] == 't' ? SOCK_STREAM : name[0] == 'd' ? SOCK_DGRAM : SOCK_SEQPACKET);
    finish();
}
