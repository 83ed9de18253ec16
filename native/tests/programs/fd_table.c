/*
 * fd_table.c - two processes that share one table of descriptors, or one working folder and umask, as clone() allows.
 * Cases: files fs
 */
#include "victim.h"

static pid_t clone_sharing(unsigned long what)
{
    fflush(NULL);
    pid_t pid = (pid_t)syscall(SYS_clone, what | SIGCHLD, NULL, NULL, NULL, NULL);
    need(pid >= 0);
    return pid;
}

static void files(void)
{
    write_file("data", "contents", 8);
    pid_t child = clone_sharing(CLONE_FILES);
    if (child == 0) {
        mark("child");
        wait_go();
        int fd = open("data", O_RDONLY);
        check(fd >= 0 && dup2(fd, 50) == 50, "open: %s", strerror(errno));
        mark("opened");
        finish();
    }
    await_mark("child");
    ready();
    wait_go();
    reap(child);
    char text[16] = "";
    check(read(50, text, 8) == 8, "what the child opened is not in our table: %s", strerror(errno));
    same_text("contents", text, "contents");
}

static void fs(void)
{
    char folder[4096] = "";
    need(mkdir("inner", 0755) == 0);
    pid_t child = clone_sharing(CLONE_FS);
    if (child == 0) {
        mark("child");
        wait_go();
        check(chdir("inner") == 0, "chdir: %s", strerror(errno));
        umask(0123);
        finish();
    }
    await_mark("child");
    ready();
    wait_go();
    reap(child);
    check(getcwd(folder, sizeof folder) != NULL, "getcwd: %s", strerror(errno));
    check(strcmp(strrchr(folder, '/'), "/inner") == 0, "the child's chdir() is not ours: %s", folder);
    same("umask", umask(0), 0123);
}

int main(int argc, char **argv)
{
    if (is_case(argc, argv, "files"))
        files();
    else
        fs();
    finish();
}
