/*
 * fd_unlinked.c - open files without a name: removed, replaced by another of that name, made by O_TMPFILE, in a removed folder.
 * Cases: removed replaced tmpfile folder shared
 */
#include "victim.h"

enum { SIZE = 300000, HOLE = 50 << 20 };

static char contents[SIZE], now[SIZE];

int main(int argc, char **argv)
{
    bool folder = is_case(argc, argv, "folder"), shared = is_case(argc, argv, "shared");
    const char *name = folder ? "gone/data" : "data";
    struct stat before = {0}, after = {0};
    int fd, second = -1;
    pid_t child = 0;

    if (folder)
        need(mkdir("gone", 0755) == 0);
    fill(contents, sizeof contents, 1);
    if (is_case(argc, argv, "tmpfile"))
        fd = open(".", O_TMPFILE | O_RDWR, 0600);
    else
        fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 && errno == EOPNOTSUPP)
        skip("no O_TMPFILE on this file system");
    need(fd >= 0 && write(fd, contents, SIZE) == SIZE);
    need(pwrite(fd, "end", 3, SIZE + HOLE) == 3);
    need(lseek(fd, 1000, SEEK_SET) == 1000);
    if (shared)
        need((second = open(name, O_RDONLY)) >= 0 && lseek(second, 7, SEEK_SET) == 7);
    if (is_case(argc, argv, "replaced")) {
        write_file("new", "another", 7);
        need(rename("new", name) == 0);
    } else if (!is_case(argc, argv, "tmpfile")) {
        need(unlink(name) == 0);
    }
    if (folder)
        need(rmdir("gone") == 0);
    need(fstat(fd, &before) == 0 && before.st_nlink == 0);
    if (shared && (child = fork_child()) == 0) {
        mark("child");
        await_mark("wrote");
        check(pread(fd, now, 5, 0) == 5 && memcmp(now, "hello", 5) == 0, "the parent's write is not seen");
        same("offset", lseek(fd, 0, SEEK_CUR), 2000);
        finish();
    }
    if (child)
        await_mark("child");

    ready();
    wait_go();

    check(fstat(fd, &after) == 0, "fstat: %s", strerror(errno));
    same("size", after.st_size, before.st_size);
    same("mode", after.st_mode, before.st_mode);
    same("owner", after.st_uid, before.st_uid);
    same("links", after.st_nlink, 0);
    check(after.st_blocks <= before.st_blocks + 64, "the hole is filled: %ld blocks", (long)after.st_blocks);
    same("offset", lseek(fd, 0, SEEK_CUR), 1000);
    check(pread(fd, now, SIZE, 0) == SIZE && memcmp(now, contents, SIZE) == 0, "contents");
    check(pread(fd, now, 10, SIZE + HOLE - 5) == 8 && memcmp(now, "\0\0\0\0\0end", 8) == 0, "contents behind the hole");
    if (is_case(argc, argv, "replaced")) {
        char text[32] = "";
        read_file(name, text, sizeof text);
        same_text("the file of that name", text, "another");
    } else {
        check(access(name, F_OK) < 0, "the name is back");
    }
    if (shared) {
        check(pwrite(fd, "hello", 5, 0) == 5, "pwrite: %s", strerror(errno));
        check(read(second, now, 5) == 5 && memcmp(now, contents + 7, 5) == 0, "the second descriptor");
        check(pread(second, now, 5, 0) == 5 && memcmp(now, "hello", 5) == 0, "it is another file");
        same("moving on", lseek(fd, 1000, SEEK_CUR), 2000);
        mark("wrote");
        reap(child);
    }
    finish();
}
