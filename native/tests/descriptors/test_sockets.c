/* Sockets through checkpoint and restart. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/lib_scene.h"

#define FD(i) (stage->fd[i])

static bool receives(int fd, const char *wanted)
{
    char text[512];
    ssize_t got = recv(fd, text, sizeof text, MSG_DONTWAIT);
    return got == (ssize_t)strlen(wanted) && !memcmp(text, wanted, (size_t)got);
}

static bool is_empty(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool is_ended(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static socklen_t named(struct sockaddr_un *address, const char *name)
{
    size_t size = strlen(name);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, size);
    if (name[0] == '@')
        address->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] != '@'));
}

static int unix_socket(int type, const char *name)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, type, 0);

    MUST(fd >= 0);
    if (name) {
        socklen_t size = named(&address, name);
        MUST(!bind(fd, (struct sockaddr *)&address, size));
    }
    return fd;
}

static int connect_to(int fd, const char *name)
{
    struct sockaddr_un address;
    socklen_t size = named(&address, name);
    return connect(fd, (struct sockaddr *)&address, size);
}

static bool has_name(int fd, const char *name, int (*get)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_un address, wanted;
    socklen_t size = sizeof address, wanted_size = named(&wanted, name);

    memset(&address, 0, sizeof address);
    return !get(fd, (struct sockaddr *)&address, &size) && size == wanted_size && !memcmp(&address, &wanted, size);
}

/* In the folder of the stage. */
static const char *path_of(const char *name)
{
    static char paths[8][96];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 96, "%s/%s", stage->folder, name);
    return path;
}

/* ---- pairs ---- */

static void pairs_make(struct stage *s)
{
    struct timeval limit = {.tv_sec = 7};
    int on = 1, size = 50000;

    (void)s;
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, &FD(0)) && write(FD(0), "to one", 6) == 6 &&
         write(FD(1), "to zero", 7) == 7);
    MUST(!setsockopt(FD(0), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    MUST(!setsockopt(FD(1), SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    MUST(!setsockopt(FD(1), SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
    MUST(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, &FD(2)));
    MUST(write(FD(2), "first", 5) == 5 && write(FD(2), "second", 6) == 6);
    MUST(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, &FD(4)));
    MUST(write(FD(4), "one", 3) == 3 && send(FD(4), "", 0, 0) == 0 && write(FD(4), "three", 5) == 5);
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, &FD(6)) && write(FD(6), "end", 3) == 3 && !shutdown(FD(6), SHUT_WR));
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, &FD(8)) && write(FD(9), "last words", 10) == 10 && !close(FD(9)));
    MUST(!socketpair(AF_UNIX, SOCK_DGRAM, 0, &FD(10)) && write(FD(11), "dying", 5) == 5 && !close(FD(11)));
    /* A queue as full as it gets. */
    MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, &FD(12)));
    char block[3000];
    memset(block, 'q', sizeof block);
    for (ssize_t sent; (sent = write(FD(12), block, sizeof block)) > 0;)
        stage->number[0] += sent;
}

static const char *pairs_verify(struct stage *s, int index)
{
    struct timeval limit = {0};
    socklen_t size = sizeof limit;
    int value = 0;
    char block[3000];

    (void)s;
    (void)index;
    CHECK(receives(FD(1), "to one") && receives(FD(0), "to zero") && is_empty(FD(0)) && is_empty(FD(1)));
    CHECK(write(FD(0), "new", 3) == 3 && receives(FD(1), "new"));
    CHECK(!getsockopt(FD(0), SOL_SOCKET, SO_RCVTIMEO, &limit, &size) && limit.tv_sec == 7);
    size = sizeof value;
    CHECK(!getsockopt(FD(1), SOL_SOCKET, SO_PASSCRED, &value, &size) && value == 1);
    CHECK(!getsockopt(FD(1), SOL_SOCKET, SO_SNDBUF, &value, &size) && value == 100000);
    CHECK(!getsockopt(FD(1), SOL_SOCKET, SO_PEEK_OFF, &value, &size) && value == -1);
    CHECK(fcntl(FD(2), F_GETFD) == FD_CLOEXEC && receives(FD(3), "first") && receives(FD(3), "second") &&
          is_empty(FD(3)));
    CHECK(fcntl(FD(5), F_GETFL) & O_NONBLOCK);
    CHECK(receives(FD(5), "one") && receives(FD(5), "") && receives(FD(5), "three") && is_empty(FD(5)));
    CHECK(write(FD(5), "back", 4) == 4 && receives(FD(4), "back"));
    CHECK(receives(FD(7), "end") && is_ended(FD(7)) && write(FD(7), "still", 5) == 5 && receives(FD(6), "still"));
    signal(SIGPIPE, SIG_IGN);
    CHECK(write(FD(6), "x", 1) < 0 && errno == EPIPE);
    CHECK(receives(FD(8), "last words") && is_ended(FD(8)) && write(FD(8), "x", 1) < 0 && errno == EPIPE);
    CHECK(receives(FD(10), "dying") && write(FD(10), "x", 1) < 0 && errno == ECONNREFUSED);
    int64_t total = 0;
    for (ssize_t got; (got = read(FD(13), block, sizeof block)) > 0; total += got)
        CHECK(block[0] == 'q' && block[got - 1] == 'q');
    CHECK(total == stage->number[0] && total > 100000);
    return NULL;
}

static void test_pairs(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = pairs_make, .verify = pairs_verify});
}

/* ---- servers ---- */

static void servers_make(struct stage *s)
{
    (void)s;
    FD(0) = unix_socket(SOCK_STREAM, path_of("server"));
    MUST(!listen(FD(0), 5) && !chmod(path_of("server"), 0640));
    FD(1) = unix_socket(SOCK_STREAM, NULL);
    MUST(!connect_to(FD(1), path_of("server")));
    FD(2) = accept(FD(0), NULL, NULL);
    MUST(FD(2) >= 0 && write(FD(1), "request", 7) == 7 && write(FD(2), "answer", 6) == 6);
    /* Not accepted yet. */
    FD(3) = unix_socket(SOCK_STREAM, path_of("client"));
    MUST(!connect_to(FD(3), path_of("server")));
    /* By a relative name, and in the abstract space. */
    FD(4) = unix_socket(SOCK_SEQPACKET, "relative");
    char abstract[64];
    snprintf(abstract, sizeof abstract, "@caesura-test-%d", getpid());
    strcpy(stage->text, abstract);
    MUST(!listen(FD(4), 1));
    FD(5) = unix_socket(SOCK_STREAM, abstract);
    MUST(!listen(FD(5), 0));
    /* The listener is gone, and its file, too. */
    int listener = unix_socket(SOCK_STREAM, path_of("former"));
    MUST(!listen(listener, 1));
    FD(6) = unix_socket(SOCK_STREAM, NULL);
    MUST(!connect_to(FD(6), path_of("former")));
    FD(7) = accept(listener, NULL, NULL);
    MUST(!close(listener) && !unlink(path_of("former")));
    /* A client that is gone. */
    int gone = unix_socket(SOCK_STREAM, NULL);
    MUST(!connect_to(gone, abstract));
    FD(8) = accept(FD(5), NULL, NULL);
    MUST(write(gone, "farewell", 8) == 8 && !close(gone));
}

static const char *servers_verify(struct stage *s, int index)
{
    struct stat st;

    (void)s;
    (void)index;
    CHECK(receives(FD(2), "request") && receives(FD(1), "answer"));
    CHECK(has_name(FD(2), path_of("server"), getsockname) && has_name(FD(1), path_of("server"), getpeername));
    CHECK(!stat(path_of("server"), &st) && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0640);
    CHECK(write(FD(3), "late", 4) == 4);
    int accepted = accept(FD(0), NULL, NULL);
    CHECK(accepted >= 0 && receives(accepted, "late") && has_name(accepted, path_of("client"), getpeername));
    int fresh = unix_socket(SOCK_STREAM, NULL);
    CHECK(!connect_to(fresh, path_of("server")) && (accepted = accept(FD(0), NULL, NULL)) >= 0);
    fresh = unix_socket(SOCK_SEQPACKET, NULL);
    CHECK(!connect_to(fresh, path_of("relative")) && has_name(FD(4), "relative", getsockname));
    fresh = unix_socket(SOCK_STREAM | SOCK_NONBLOCK, NULL);
    CHECK(!connect_to(fresh, stage->text) && has_name(FD(5), stage->text, getsockname));
    int over = unix_socket(SOCK_STREAM | SOCK_NONBLOCK, NULL);
    CHECK(connect_to(over, stage->text) < 0 && errno == EAGAIN);
    CHECK(write(FD(6), "x", 1) == 1 && receives(FD(7), "x") && has_name(FD(7), path_of("former"), getsockname));
    CHECK(stat(path_of("former"), &st) < 0 && errno == ENOENT);
    CHECK(receives(FD(8), "farewell") && is_ended(FD(8)) && has_name(FD(8), stage->text, getsockname));
    return NULL;
}

static void test_servers(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = servers_make, .verify = servers_verify});
}

static int squatter;

static void squat(struct stage *s)
{
    struct sockaddr_un address;

    (void)s;
    unlink(path_of("server"));
    squatter = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = named(&address, path_of("server"));
    assert_int_equal(bind(squatter, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(squatter, 5), 0);
}

/* The name of a server that somebody else listens on is not taken away. */
static void test_server_taken(void **state)
{
    (void)state;
    scene_fail(&(struct scene){.make = servers_make, .verify = servers_verify, .between = squat},
               "in use by another process");
    /* Nor is that disturbed. */
    struct pollfd poller = {.fd = squatter, .events = POLLIN};
    assert_int_equal(poll(&poller, 1, 0), 0);
    close(squatter);
}

/* ---- datagrams ---- */

static void send_to(int fd, const char *name, const char *text)
{
    struct sockaddr_un address;
    socklen_t size = named(&address, name);
    MUST(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, size) == (ssize_t)strlen(text));
}

static void datagrams_make(struct stage *s)
{
    (void)s;
    FD(0) = unix_socket(SOCK_DGRAM, path_of("receiver"));
    FD(1) = unix_socket(SOCK_DGRAM, path_of("sender"));
    FD(2) = unix_socket(SOCK_DGRAM, NULL);
    send_to(FD(1), path_of("receiver"), "from sender");
    send_to(FD(2), path_of("receiver"), "from nobody");
    int gone = unix_socket(SOCK_DGRAM, path_of("gone"));
    send_to(gone, path_of("receiver"), "from gone");
    MUST(!close(gone) && !unlink(path_of("gone")));
    /* Connected in one direction, and in both. */
    MUST(!connect_to(FD(2), path_of("receiver")));
    FD(3) = unix_socket(SOCK_DGRAM, path_of("left"));
    FD(4) = unix_socket(SOCK_DGRAM, path_of("right"));
    MUST(!connect_to(FD(3), path_of("right")) && !connect_to(FD(4), path_of("left")));
    MUST(send(FD(3), "to right", 8, 0) == 8);
}

static bool receives_from(int fd, const char *wanted, const char *from)
{
    struct sockaddr_un address = {0}, sender;
    socklen_t size = sizeof address, sender_size = from ? named(&sender, from) : 0;
    char text[128];

    ssize_t got = recvfrom(fd, text, sizeof text, MSG_DONTWAIT, (struct sockaddr *)&address, &size);
    if (!from)
        size = size <= offsetof(struct sockaddr_un, sun_path) ? 0 : size;
    return got == (ssize_t)strlen(wanted) && !memcmp(text, wanted, (size_t)got) && size == sender_size &&
           (!from || !memcmp(&address, &sender, size));
}

static const char *datagrams_verify(struct stage *s, int index)
{
    struct stat st;

    (void)s;
    (void)index;
    CHECK(receives_from(FD(0), "from sender", path_of("sender")));
    CHECK(receives_from(FD(0), "from nobody", NULL));
    CHECK(receives_from(FD(0), "from gone", path_of("gone")) && stat(path_of("gone"), &st) < 0);
    CHECK(is_empty(FD(0)));
    CHECK(send(FD(2), "connected", 9, 0) == 9 && receives(FD(0), "connected"));
    CHECK(receives_from(FD(4), "to right", path_of("left")));
    CHECK(send(FD(4), "to left", 7, 0) == 7 && receives_from(FD(3), "to left", path_of("right")));
    CHECK(has_name(FD(3), path_of("right"), getpeername));
    return NULL;
}

static void test_datagrams(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = datagrams_make, .verify = datagrams_verify});
}

/* ---- descriptors that travel ---- */

static void travel(int through, int fd, const char *text)
{
    char room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *control = CMSG_FIRSTHDR(&message);

    *control = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(control), &fd, sizeof fd);
    MUST(sendmsg(through, &message, 0) == (ssize_t)strlen(text));
}

static int arrives(int through, const char *text)
{
    char room[CMSG_SPACE(sizeof(int))], bytes[64];
    struct iovec data = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    ssize_t got = recvmsg(through, &message, MSG_DONTWAIT);
    struct cmsghdr *control = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
    int fd = -1;

    if (got != (ssize_t)strlen(text) || memcmp(bytes, text, (size_t)got) || !control)
        return -1;
    memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return fd;
}

static void travelling_make(struct stage *s)
{
    (void)s;
    MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, &FD(0)) && !pipe(&FD(2)));
    MUST(write(FD(0), "before ", 7) == 7);
    travel(FD(0), FD(2), "with");
    MUST(write(FD(0), " after", 6) == 6);
    /* One that nobody holds any more; it is a socket itself, through which another travels, and has messages. */
    int inner[2], ends[2];
    MUST(!socketpair(AF_UNIX, SOCK_DGRAM, 0, &FD(4)) && !socketpair(AF_UNIX, SOCK_SEQPACKET, 0, inner) && !pipe(ends));
    MUST(write(ends[1], "deep", 4) == 4);
    travel(inner[0], ends[0], "pipe");
    MUST(send(FD(4), "", 0, 0) == 0);
    travel(FD(4), inner[1], "socket");
    close(inner[0]);
    close(inner[1]);
    close(ends[0]);
    FD(6) = ends[1];
}

static const char *travelling_verify(struct stage *s, int index)
{
    char byte;

    (void)s;
    (void)index;
    char text[8];
    CHECK(recv(FD(1), text, 7, 0) == 7 && !memcmp(text, "before ", 7));
    int fd = arrives(FD(1), "with");
    CHECK(fd >= 0);
    CHECK(write(FD(3), "p", 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'p');
    CHECK(receives(FD(1), " after"));
    CHECK(receives(FD(5), ""));
    int inner = arrives(FD(5), "socket");
    CHECK(inner >= 0);
    fd = arrives(inner, "pipe");
    CHECK(fd >= 0 && write(FD(6), "er", 2) == 2 && read(fd, text, 6) == 6 && !memcmp(text, "deeper", 6) &&
          is_ended(inner));
    return NULL;
}

static void test_travelling_descriptors(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = travelling_make, .verify = travelling_verify});
}

/* ---- internet ---- */

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &size) ? -1 : ntohs(address.sin_port);
}

static int peer_port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    return getpeername(fd, (struct sockaddr *)&address, &size) ? -1 : ntohs(address.sin_port);
}

static int tcp_listen(void)
{
    struct sockaddr_in address = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    MUST(!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    MUST(!bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 7));
    return fd;
}

static int tcp_connect(int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(!connect(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}

static void tcp_make(struct stage *s)
{
    int on = 1;

    (void)s;
    FD(0) = tcp_listen();
    FD(1) = tcp_connect(port_of(FD(0)));
    FD(2) = accept(FD(0), NULL, NULL);
    MUST(!setsockopt(FD(1), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    MUST(write(FD(1), "question", 8) == 8 && write(FD(2), "reply", 5) == 5);
    int listener = tcp_listen();
    FD(3) = tcp_connect(port_of(listener));
    FD(4) = accept(listener, NULL, NULL);
    MUST(!close(listener) && write(FD(3), "end", 3) == 3 && !shutdown(FD(3), SHUT_WR));
    for (int i = 0; i <= 4; i++)
        stage->number[i] = port_of(FD(i));
    FD(5) = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    char block[50000];
    memset(block, 't', sizeof block);
    FD(6) = tcp_connect(port_of(FD(0)));
    FD(7) = accept(FD(0), NULL, NULL);
    MUST(write(FD(6), block, sizeof block) == sizeof block);
    usleep(100000);
}

static const char *tcp_verify(struct stage *s, int index)
{
    int on = 0;
    socklen_t size = sizeof on;
    char block[50000];

    (void)s;
    (void)index;
    for (int i = 0; i <= 4; i++)
        CHECK(port_of(FD(i)) == stage->number[i]);
    CHECK(peer_port_of(FD(1)) == stage->number[0] && peer_port_of(FD(2)) == stage->number[1]);
    CHECK(receives(FD(2), "question") && receives(FD(1), "reply"));
    CHECK(!getsockopt(FD(1), IPPROTO_TCP, TCP_NODELAY, &on, &size) && on);
    CHECK(write(FD(2), "more", 4) == 4 && recv(FD(1), block, 4, MSG_WAITALL) == 4);
    int fresh = tcp_connect((int)stage->number[0]);
    CHECK(accept(FD(0), NULL, NULL) >= 0 && fresh >= 0);
    struct pollfd poller = {.fd = FD(4), .events = POLLRDHUP};
    CHECK(receives(FD(4), "end") && poll(&poller, 1, 1000) == 1 && is_ended(FD(4)));
    CHECK(write(FD(4), "open", 4) == 4 && recv(FD(3), block, 4, MSG_WAITALL) == 4);
    CHECK(fcntl(FD(5), F_GETFL) & O_NONBLOCK);
    CHECK(recv(FD(7), block, sizeof block, MSG_WAITALL) == sizeof block && block[49999] == 't' && is_empty(FD(7)));
    return NULL;
}

static void test_tcp(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = tcp_make, .verify = tcp_verify});
}

static int udp_socket(int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    MUST(!bind(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}

static void udp_make(struct stage *s)
{
    (void)s;
    FD(0) = udp_socket(0);
    FD(1) = udp_socket(0);
    struct sockaddr_in address = loopback(port_of(FD(0)));
    MUST(!connect(FD(1), (struct sockaddr *)&address, sizeof address));
    MUST(send(FD(1), "first", 5, 0) == 5 && send(FD(1), "second", 6, 0) == 6);
    stage->number[0] = port_of(FD(0));
    stage->number[1] = port_of(FD(1));
}

static const char *udp_verify(struct stage *s, int index)
{
    (void)s;
    (void)index;
    CHECK(port_of(FD(0)) == stage->number[0] && port_of(FD(1)) == stage->number[1]);
    CHECK(receives(FD(0), "first") && receives(FD(0), "second") && is_empty(FD(0)));
    CHECK(peer_port_of(FD(1)) == stage->number[0] && send(FD(1), "third", 5, 0) == 5 && receives(FD(0), "third"));
    return NULL;
}

static void test_udp(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = udp_make, .verify = udp_verify});
}

/* Many, over two processes, as a parallel program has them. */
#define CONNECTIONS 40

static void mesh_make(struct stage *s)
{
    (void)s;
    FD(0) = tcp_listen();
    stage->number[0] = port_of(FD(0));
    FD(1) = epoll_create1(0);
    if (!scene_fork()) {
        for (int i = 0; i < CONNECTIONS; i++) {
            int fd = tcp_connect((int)stage->number[0]);
            MUST(write(fd, &i, sizeof i) == sizeof i);
            stage->fd[2] = fd;
        }
        scene_stop();
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = accept(FD(0), NULL, NULL);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        MUST(fd >= 0 && !epoll_ctl(FD(1), EPOLL_CTL_ADD, fd, &event));
    }
    usleep(100000);
}

static const char *mesh_verify(struct stage *s, int index)
{
    struct epoll_event events[CONNECTIONS + 1];
    uint64_t seen = 0;

    (void)s;
    if (index)
        return NULL;
    CHECK(epoll_wait(FD(1), events, CONNECTIONS + 1, 1000) == CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++) {
        int number = -1;
        CHECK(recv(events[i].data.fd, &number, sizeof number, MSG_DONTWAIT) == sizeof number);
        seen |= 1ull << number;
    }
    CHECK(seen == (1ull << CONNECTIONS) - 1);
    return NULL;
}

static void test_mesh(void **state)
{
    (void)state;
    scene_play(&(struct scene){.make = mesh_make, .verify = mesh_verify});
}

#define ROUNDS 150

static void test_damaged(void **state)
{
    static void (*const makers[])(struct stage *) = {pairs_make, servers_make, datagrams_make, travelling_make,
                                                     udp_make};

    (void)state;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        scene_damage(&(struct scene){.make = makers[i]}, ROUNDS);
    scene_damage(&(struct scene){.make = tcp_make}, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_server_taken),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_travelling_descriptors),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_udp),
        cmocka_unit_test(test_mesh),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
