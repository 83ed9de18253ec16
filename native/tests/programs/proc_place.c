/*
 * proc_place.c - working folder, umask, environment, command line, executable, auxv, name: as the program and /proc show them.
 * Cases: plain changed_arguments removed_folder root
 * Driver: either=removed_folder
 */
#include <sys/auxv.h>

#include "victim.h"

enum { N = 7 };

static const char *const files[] = {"cmdline", "environ", "auxv", "comm", "exe", "cwd", "root"};

struct facts {
    char text[N][16384];
    ssize_t length[N];
};

static void collect(struct facts *facts)
{
    char path[64];
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "/proc/self/%s", files[i]);
        memset(facts->text[i], 0, sizeof facts->text[i]);
        facts->length[i] = i < 4 ? read_file(path, facts->text[i], sizeof facts->text[i])
                                 : readlink(path, facts->text[i], sizeof facts->text[i] - 1);
    }
}

static struct facts before, after;

static void compare(void)
{
    collect(&after);
    for (int i = 0; i < N; i++) {
        same(files[i], after.length[i], before.length[i]);
        check(memcmp(after.text[i], before.text[i], sizeof after.text[i]) == 0, "/proc/self/%s is \"%s\", was \"%s\"",
              files[i], after.text[i], before.text[i]);
    }
}

/* Like setproctitle(): writes over its own arguments. */
static void plain(char **argv)
{
    char folder[4096], now[4096] = "";
    unsigned long random = getauxval(AT_RANDOM), entry = getauxval(AT_ENTRY), vdso = getauxval(AT_SYSINFO_EHDR);
    need(mkdir("inner", 0755) == 0 && chdir("inner") == 0);
    need(getcwd(folder, sizeof folder));
    umask(0137);
    need(prctl(PR_SET_NAME, "new name") == 0);
    if (argv)
        memset(argv[1], 'x', strlen(argv[1]));
    collect(&before);
    need(before.length[0] > 0 && before.length[1] > 0);
    ready();
    wait_go();
    compare();
    check(getcwd(now, sizeof now) != NULL, "getcwd: %s", strerror(errno));
    same_text("working folder", now, folder);
    same("AT_RANDOM", getauxval(AT_RANDOM), random);
    same("AT_ENTRY", getauxval(AT_ENTRY), entry);
    same("AT_SYSINFO_EHDR", getauxval(AT_SYSINFO_EHDR), vdso);
    same("umask", umask(0), 0137);
    same_text("an environment variable", getenv("VICTIM") ? getenv("VICTIM") : "", "of circumstance");
}

static void removed_folder(void)
{
    char now[4096];
    need(mkdir("inner", 0755) == 0 && chdir("inner") == 0 && rmdir("../inner") == 0);
    need(!getcwd(now, sizeof now));
    ready();
    wait_go();
    check(!getcwd(now, sizeof now) && errno == ENOENT, "the working folder is %s", now);
    check(open("file", O_RDWR | O_CREAT, 0644) < 0 && errno == ENOENT, "a file can be made in a removed folder");
    check(access("../ready", F_OK) == 0 || errno == ENOENT, "the folder above: %s", strerror(errno));
}

/* The child lives below another root; the parent tells it to go on by a file there. */
static void other_root(void)
{
    need(mkdir("root", 0755) == 0 && mkdir("root/inner", 0755) == 0);
    write_file("root/inner/file", "x", 1);
    pid_t child = fork_child();
    if (child == 0) {
        if (chroot("root") < 0 || chdir("/inner") < 0)
            _exit(SKIPPED);
        strcpy(victim_folder, "/");
        mark("child");
        wait_go();
        char now[4096] = "";
        check(getcwd(now, sizeof now) != NULL, "getcwd: %s", strerror(errno));
        same_text("working folder", now, "/inner");
        check(access("/inner/file", F_OK) == 0 && access("file", F_OK) == 0, "file: %s", strerror(errno));
        check(access("/proc/self", F_OK) < 0, "the root is the old one");
        finish();
    }
    while (!is_there("root/mark.child"))
        if (victim_nap(), process_state(child) == 'Z')
            skip("chroot() is not permitted");
    ready();
    wait_go();
    announce("root/go", 1);
    reap(child);
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        /* Once more with a known environment. */
        char *arguments[] = {argv[0], argv[1], "with an argument", "", NULL};
        char *environment[] = {"VICTIM=of circumstance", "LONG=and so on and so on", "EMPTY=", NULL};
        execve("/proc/self/exe", arguments, environment);
        need(false);
    }
    if (is_case(argc, argv, "removed_folder"))
        removed_folder();
    else if (is_case(argc, argv, "root"))
        other_root();
    else
        plain(is_case(argc, argv, "changed_arguments") ? argv : NULL);
    finish();
}
