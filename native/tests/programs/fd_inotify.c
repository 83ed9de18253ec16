/*
 * fd_inotify.c - inotify: watches keep their numbers and masks, and events in the queue are not lost.
 * Cases: watches queued
 * Driver: either=queued
 */
#include <sys/inotify.h>

#include "victim.h"

static int fd;
static char buffer[4096] __attribute__((aligned(8)));

static void expect(int wd, uint32_t mask, const char *name)
{
    struct inotify_event *event = (struct inotify_event *)buffer;
    /* One event at a time: there is room for no more. */
    ssize_t n = read(fd, buffer, sizeof *event + (name ? 16 : 0));
    check(n > 0, "no event of watch %d: %s", wd, strerror(errno));
    if (n <= 0)
        return;
    same("watch", event->wd, wd);
    same("mask", event->mask, mask);
    if (name)
        same_text("name", event->name, name);
}

int main(int argc, char **argv)
{
    bool queued = is_case(argc, argv, "queued");
    write_file("a", "x", 1);
    write_file("b", "x", 1);
    need(mkdir("folder", 0755) == 0);
    need((fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) >= 0);
    int a = inotify_add_watch(fd, "a", IN_ATTRIB), gone = inotify_add_watch(fd, "b", IN_ALL_EVENTS);
    int folder = inotify_add_watch(fd, "folder", IN_CREATE | IN_ONLYDIR);
    need(a == 1 && gone == 2 && folder == 3);
    need(inotify_rm_watch(fd, gone) == 0);
    need(read(fd, buffer, sizeof buffer) > 0); /* IN_IGNORED */
    if (queued) {
        write_file("folder/early", "x", 1);
        need(chmod("a", 0600) == 0);
    }
    ready();
    wait_go();
    if (queued) {
        expect(folder, IN_CREATE, "early");
        expect(a, IN_ATTRIB, NULL);
    }
    check(read(fd, buffer, sizeof buffer) < 0 && errno == EAGAIN, "an event of which nobody knows");
    write_file("a", "y", 1);
    check(chmod("a", 0640) == 0, "chmod: %s", strerror(errno));
    expect(a, IN_ATTRIB, NULL);
    write_file("folder/late", "x", 1);
    expect(folder, IN_CREATE, "late");
    check(inotify_rm_watch(fd, gone) < 0, "a removed watch is back");
    same("close-on-exec", fcntl(fd, F_GETFD), FD_CLOEXEC);
    finish();
}
