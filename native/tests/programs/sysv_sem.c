/*
 * sysv_sem.c - System V semaphores: numbers, keys, modes, values, and a process that waits for one. Restarted by test_sysv.py.
 *   queue   a System V message queue, which no checkpoint takes
 * Cases: set
 * Driver: modes=none,continue
 */
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include "victim.h"

enum { KEY = 0x5e3a, COUNT = 700 };

union argument {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static int with_queue(void)
{
    struct {
        long type;
        char text[8];
    } message = {1, "message"};
    int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    need(id >= 0 && msgsnd(id, &message, sizeof message.text, 0) == 0);
    ready();
    wait_go();
    check(msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT) == sizeof message.text, "%s", strerror(errno));
    need(msgctl(id, IPC_RMID, NULL) == 0);
    finish();
}

int main(int argc, char **argv)
{
    unsigned short values[COUNT], now[COUNT] = {0};
    struct semid_ds before, after = {0};
    if (is_case(argc, argv, "queue"))
        return with_queue();
    int id = semget(KEY, COUNT, IPC_CREAT | IPC_EXCL | 0640);
    need(id >= 0);
    for (int i = 0; i < COUNT; i++)
        values[i] = (unsigned short)(victim_mix((uint64_t)i) % 30000);
    values[3] = 0;
    need(semctl(id, 0, SETALL, (union argument){.array = values}) == 0);
    need(semctl(id, 0, IPC_STAT, (union argument){.buf = &before}) == 0);
    pid_t waiter = fork_child();
    if (waiter == 0) {
        struct sembuf down = {.sem_num = 3, .sem_op = -2};
        check(semop(id, &down, 1) == 0, "semop: %s", strerror(errno));
        finish();
    }
    while (semctl(id, 3, GETNCNT) != 1)
        victim_nap();
    ready();
    wait_go();
    check(semctl(id, 0, IPC_STAT, (union argument){.buf = &after}) == 0, "set %d: %s", id, strerror(errno));
    same("mode", after.sem_perm.mode, before.sem_perm.mode);
    same("key", after.sem_perm.__key, before.sem_perm.__key);
    same("sem_nsems", after.sem_nsems, before.sem_nsems);
    same("the set of the key", semget(KEY, 0, 0), id);
    check(semctl(id, 0, GETALL, (union argument){.array = now}) == 0, "values: %s", strerror(errno));
    check(!memcmp(now, values, sizeof now), "the values differ");
    struct sembuf up = {.sem_num = 3, .sem_op = 2};
    check(semop(id, &up, 1) == 0, "semop: %s", strerror(errno));
    reap(waiter);
    same("the semaphore that was waited for", semctl(id, 3, GETVAL), 0);
    check(semctl(id, 0, IPC_RMID) == 0, "remove: %s", strerror(errno));
    finish();
}
