/*
 * fd_fifo.c - FIFOs with data: opened for both by one process, and by a writer and a reader; its name still leads to it.
 * Cases: both processes removed
 */
#include "victim.h"

static char buffer[PAGE];

static void expect(int fd, const char *text)
{
    ssize_t n = read(fd, buffer, sizeof buffer - 1);
    buffer[n > 0 ? n : 0] = '\0';
    same_text("data", buffer, text);
}

int main(int argc, char **argv)
{
    need(mkfifo("fifo", 0600) == 0);
    int fd = open("fifo", O_RDWR);
    need(fd >= 0 && write(fd, "early", 5) == 5);
    pid_t child = 0;
    if (is_case(argc, argv, "processes")) {
        if ((child = fork_child()) == 0) {
            close(fd);
            need((fd = open("fifo", O_WRONLY)) >= 0);
            mark("child");
            wait_go();
            check(write(fd, " late", 5) == 5, "write: %s", strerror(errno));
            finish();
        }
        await_mark("child");
        int reader = open("fifo", O_RDONLY | O_NONBLOCK);
        need(reader >= 0 && dup2(reader, fd) == fd && close(reader) == 0);
        need(fcntl(fd, F_SETFL, 0) == 0);
    }
    if (is_case(argc, argv, "removed"))
        need(unlink("fifo") == 0);

    ready();
    wait_go();

    if (child) {
        reap(child);
        expect(fd, "early late");
        check(read(fd, buffer, 1) == 0, "no end of file after the last writer");
    } else {
        expect(fd, "early");
    }
    struct stat by_name = {0}, by_fd = {0};
    if (is_case(argc, argv, "removed")) {
        check(stat("fifo", &by_name) < 0, "the name is back");
        check(write(fd, "x", 1) == 1, "write: %s", strerror(errno));
        expect(fd, "x");
        finish();
    }
    check(stat("fifo", &by_name) == 0 && fstat(fd, &by_fd) == 0, "stat: %s", strerror(errno));
    same("inode", by_fd.st_ino, by_name.st_ino);
    int writer = open("fifo", O_WRONLY | O_NONBLOCK);
    check(writer >= 0 && write(writer, "new", 3) == 3, "the name does not lead to the reader: %s", strerror(errno));
    expect(fd, "new");
    finish();
}
