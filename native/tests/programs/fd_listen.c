/*
 * fd_listen.c - a listening unix socket: clients of afterwards reach it, one in its queue is still there.
 * Cases: idle queued
 * Driver: either=queued
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "victim.h"

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    bool queued = is_case(argc, argv, "queued");
    char text[16] = "";
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    need(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
    if (queued) {
        need(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
        need(send(client, "early", 5, 0) == 5);
    }
    ready();
    wait_go();
    if (!queued) {
        check(connect(client, (struct sockaddr *)&address, sizeof address) == 0, "connect: %s", strerror(errno));
        check(send(client, "late", 4, 0) == 4, "send: %s", strerror(errno));
    }
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    check(fd >= 0, "accept: %s", strerror(errno));
    check(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0, "recv: %s", strerror(errno));
    same_text("data", text, queued ? "early" : "late");
    check(send(fd, "answer", 6, 0) == 6, "send: %s", strerror(errno));
    check(recv(client, text, sizeof text - 1, MSG_DONTWAIT) == 6 && memcmp(text, "answer", 6) == 0, "no answer");

    /* The queue is as short as before: one waits, and one more gets in. */
    int filled = 0;
    for (int other; filled < 10; filled++) {
        other = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(other, (struct sockaddr *)&address, sizeof address) < 0)
            break;
    }
    same("clients that fit into the queue", filled, 2);
    finish();
}
