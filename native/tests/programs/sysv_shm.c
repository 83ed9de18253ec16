/*
 * sysv_shm.c - System V shared memory: numbers, keys, modes, contents, attachments of several processes, also of segments
 * that are marked to be removed. Restarted by test_sysv.py, for what stays behind needs a namespace of its own.
 *   unattached, outside   what no checkpoint takes
 * Cases: attached removed read_only twice holes locked huge
 * Driver: modes=none,continue
 */
#include <sys/ipc.h>
#include <sys/shm.h>

#include "victim.h"

enum { PAGES = 16, KEY = 0x5ca1ab1e, SIZE = PAGES * PAGE - 100, HUGE_SIZE = 4 << 20 };

static int id;
static struct shmid_ds before;

static struct shmid_ds state(void)
{
    struct shmid_ds now = {0};
    check(shmctl(id, IPC_STAT, &now) == 0, "segment %d: %s", id, strerror(errno));
    return now;
}

static void check_state(void)
{
    struct shmid_ds now = state();
    same("shm_nattch", now.shm_nattch, before.shm_nattch);
    same("shm_segsz", now.shm_segsz, before.shm_segsz);
    same("mode", now.shm_perm.mode, before.shm_perm.mode);
    same("key", now.shm_perm.__key, before.shm_perm.__key);
    same("uid", now.shm_perm.uid, before.shm_perm.uid);
    same("gid", now.shm_perm.gid, before.shm_perm.gid);
}

static unsigned char *attach(void *address, int flags)
{
    unsigned char *at = shmat(id, address, flags);
    need(at != (void *)-1);
    return at;
}

/* A second process, which inherits one attachment and makes another. */
static pid_t start_reader(unsigned char *memory, bool attach_once_more)
{
    pid_t child = fork_child();
    if (child)
        return child;
    unsigned char *other = attach_once_more ? attach(NULL, 0) : memory;
    mark("reader");
    wait_go();
    check_pattern(other, SIZE, 7);
    mark("looked");
    await_mark("written");
    same("a byte written by the parent", other[100], 0xa5);
    same("the same, inherited", memory[100], 0xa5);
    need(!attach_once_more || shmdt(other) == 0);
    finish();
}

static void look_at_maps(unsigned char *memory, unsigned char *second, int argc, char **argv)
{
    if (is_case(argc, argv, "read_only")) {
        check(mprotect(second, PAGE, PROT_READ | PROT_WRITE) < 0 && errno == EACCES,
              "what was attached to read only can be made writable");
    } else if (is_case(argc, argv, "holes")) {
        check(mprotect(memory + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect: %s", strerror(errno));
        char line[512];
        check(!map_line(second + 2 * PAGE, NULL, line, sizeof line), "the hole is filled: %s", line);
    }
}

static unsigned char *attach_again(unsigned char *memory, int argc, char **argv)
{
    unsigned char *second = NULL;
    if (is_case(argc, argv, "read_only")) {
        second = attach(NULL, SHM_RDONLY);
    } else if (is_case(argc, argv, "twice")) {
        second = attach((void *)0x7e0000000000, 0);
    } else if (is_case(argc, argv, "holes")) {
        second = attach(NULL, 0);
        need(munmap(second + 2 * PAGE, 3 * PAGE) == 0);
        need(mprotect(memory + PAGE, PAGE, PROT_READ) == 0);
    }
    return second;
}

/* Attached by a process that has left the tree. */
static void attach_outside(void)
{
    pid_t middle = fork_child();
    if (middle == 0) {
        if (fork_child() == 0) {
            need(setsid() > 0);
            attach(NULL, 0);
            mark("outside");
            await_mark("written");
        }
        _exit(0);
    }
    reap(middle);
    await_mark("outside");
}

int main(int argc, char **argv)
{
    bool removed = is_case(argc, argv, "removed");
    bool huge = is_case(argc, argv, "huge");
    id = shmget(KEY, huge ? HUGE_SIZE : SIZE, IPC_CREAT | IPC_EXCL | 0640 | (huge ? SHM_HUGETLB : 0));
    if (id < 0 && huge)
        skip("no huge pages on this host: %s", strerror(errno));
    need(id >= 0);
    if (is_case(argc, argv, "unattached")) {
        ready();
        wait_go();
        need(shmctl(id, IPC_RMID, NULL) == 0);
        finish();
    }
    unsigned char *memory = attach(NULL, 0);
    fill(memory, SIZE, 7);
    if (is_case(argc, argv, "outside"))
        attach_outside();
    unsigned char *second = attach_again(memory, argc, argv);
    pid_t reader = start_reader(memory, !huge);
    await_mark("reader");
    if (removed)
        need(shmctl(id, IPC_RMID, NULL) == 0);
    if (is_case(argc, argv, "locked") && shmctl(id, SHM_LOCK, NULL) < 0)
        skip("SHM_LOCK: %s", strerror(errno));
    before = state();
    need(((before.shm_perm.mode & SHM_DEST) != 0) == removed);
    ready();
    wait_go();
    check_state();
    check_pattern(memory, SIZE, 7);
    if (second)
        check_pattern(second, 2 * PAGE, 7);
    look_at_maps(memory, second, argc, argv);
    same("the segment of the key", shmget(KEY, 0, 0), removed ? -1 : id);
    await_mark("looked");
    memory[100] = 0xa5;
    mark("written");
    reap(reader);
    check(shmdt(memory) == 0, "shmdt: %s", strerror(errno));
    if (second && !is_case(argc, argv, "holes"))
        check(shmdt(second) == 0, "shmdt: %s", strerror(errno));
    if (!removed)
        check(shmctl(id, IPC_RMID, NULL) == 0, "remove: %s", strerror(errno));
    finish();
}
