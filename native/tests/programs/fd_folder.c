/*
 * fd_folder.c - a folder that is read half: the other half comes, and nothing twice.
 */
#include <dirent.h>

#include "victim.h"

enum { FILES = 200 };

static int seen[FILES];

static void read_some(DIR *folder, int count)
{
    struct dirent *entry;
    int number;
    while (count-- > 0 && (entry = readdir(folder)))
        if (sscanf(entry->d_name, "file%d", &number) == 1)
            seen[number]++;
}

int main(void)
{
    char name[64];
    char raw[512];
    need(mkdir("many", 0755) == 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "many/file%d", i);
        write_file(name, "", 0);
    }
    DIR *folder = opendir("many");
    need(folder);
    read_some(folder, 50);
    int fd = open("many", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    need(fd >= 0 && syscall(SYS_getdents64, fd, raw, sizeof raw) > 0);
    off_t position = lseek(fd, 0, SEEK_CUR);
    need(position > 0);
    int here = open(".", O_RDONLY | O_DIRECTORY);
    need(here >= 0);

    ready();
    wait_go();

    same("position", lseek(fd, 0, SEEK_CUR), position);
    same("close-on-exec", fcntl(fd, F_GETFD), FD_CLOEXEC);
    read_some(folder, 1000);
    for (int i = 0; i < FILES; i++)
        check(seen[i] == 1, "file%d was seen %d times", i, seen[i]);
    int entries = 0;
    for (ssize_t n; (n = syscall(SYS_getdents64, fd, raw, sizeof raw)) > 0;)
        for (ssize_t at = 0; at < n; at += ((struct dirent64 *)(raw + at))->d_reclen)
            entries++;
    check(entries > 0 && entries < FILES, "%d entries are left", entries);
    check(faccessat(here, "many/file7", F_OK, 0) == 0, "a path from the folder: %s", strerror(errno));
    finish();
}
