/*
 * shm_private.c - files in /dev/shm that nobody has open: they come back where it is the job's own. test_private_shm.py.
 * Driver: modes=none,continue
 */
#include "victim.h"

enum { SIZE = 5 * PAGE + 17 };

static const char *const paths[] = {"/dev/shm/%s.closed", "/dev/shm/%s.folder/closed", "/dev/shm/%s.open"};

static void path_of(int i, char *path, size_t size)
{
    const char *name = strrchr(victim_folder, '/');
    snprintf(path, size, paths[i], name ? name + 1 : "victim");
}

int main(void)
{
    static unsigned char bytes[SIZE];
    char path[3][4096], folder[4096];
    int fd = -1;
    for (int i = 0; i < 3; i++) {
        path_of(i, path[i], sizeof path[i]);
        copy_text(folder, sizeof folder, path[i]);
        *strrchr(folder, '/') = '\0';
        need(mkdir(folder, 0750) == 0 || errno == EEXIST);
        fill(bytes, SIZE, (uint64_t)i);
        write_file(path[i], bytes, SIZE);
        need(chmod(path[i], 0640) == 0);
    }
    need((fd = open(path[2], O_RDWR)) >= 0);
    ready();
    wait_go();
    for (int i = 0; i < 3; i++) {
        struct stat st = {0};
        memset(bytes, 0, sizeof bytes);
        int again = open(path[i], O_RDONLY);
        check(again >= 0 && read(again, bytes, SIZE) == SIZE, "%s: %s", path[i], strerror(errno));
        check_pattern(bytes, SIZE, (uint64_t)i);
        check(stat(path[i], &st) == 0 && (st.st_mode & 07777) == 0640, "%s has mode %o", path[i], st.st_mode);
        unlink(path[i]);
    }
    struct stat st = {0};
    check(fstat(fd, &st) == 0 && st.st_nlink == 0, "the open file is another one");
    path_of(1, folder, sizeof folder);
    *strrchr(folder, '/') = '\0';
    check(rmdir(folder) == 0, "rmdir: %s", strerror(errno));
    finish();
}
