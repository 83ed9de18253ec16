/*
 * proc_exe.c - the executable of a process: a script's interpreter, a copy by another name, and a copy that was removed.
 * Cases: copy removed replaced
 */
#include "victim.h"

static void link_of(char *text, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", text, size - 1);
    text[n > 0 ? n : 0] = '\0';
}

int main(int argc, char **argv)
{
    static char program[4 << 20];
    char link[4096], now[4096];
    if (argc == 2) {
        ssize_t n = read_file("/proc/self/exe", program, sizeof program);
        need(n > 0);
        write_file("copy", program, (size_t)n);
        need(chmod("copy", 0755) == 0);
        execl("./copy", "copy", argv[1], "again", NULL);
        need(false);
    }
    if (is_case(argc, argv, "removed"))
        need(unlink("copy") == 0);
    if (is_case(argc, argv, "replaced")) {
        write_file("new", "another program", 15);
        need(rename("new", "copy") == 0);
    }
    link_of(link, sizeof link);
    need(strstr(link, "copy"));
    ready();
    wait_go();
    link_of(now, sizeof now);
    /* Only a file of that very name could have the old link, and the name is another file's. */
    if (is_case(argc, argv, "replaced"))
        check(strstr(now, "(deleted)"), "/proc/self/exe is \"%s\"", now);
    else
        same_text("/proc/self/exe", now, link);
    if (is_case(argc, argv, "replaced")) {
        char text[32] = "";
        read_file("copy", text, sizeof text);
        same_text("the new file", text, "another program");
    }
    finish();
}
