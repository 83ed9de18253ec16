#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include "core/error.h"
#include "sysv/sysv.h"

#ifndef SHM_HUGE_SHIFT
#define SHM_HUGE_SHIFT 26
#endif
#ifndef SHM_DEST /* include/linux/shm.h */
#define SHM_DEST 01000
#define SHM_LOCKED 02000
#endif

/* The fourth argument of semctl(), which its callers have to define. */
union semctl_argument {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static const char *name_of(const struct sysv *sysv)
{
    return sysv->kind == SYSV_SEGMENT ? "shared memory segment" : "semaphore set";
}

/* The number that the next object gets if it is free (Documentation/admin-guide/sysctl/kernel.rst). */
static int choose_id(const struct sysv *sysv, struct caesura_error *err)
{
    const char *path = sysv->kind == SYSV_SEGMENT ? "/proc/sys/kernel/shm_next_id" : "/proc/sys/kernel/sem_next_id";
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int length = fd < 0 ? -1 : dprintf(fd, "%d", sysv->id);
    int reason = errno;

    if (fd >= 0)
        close(fd);
    if (length > 0)
        return 0;
    if (reason != EACCES && reason != EPERM)
        return error_errno(err, reason, "cannot choose the number of System V %s %d by %s", name_of(sysv), sysv->id,
                           path);
    error_set(err, CAESURA_EPERM_, "this user may not choose the number of System V %s %d here", name_of(sysv),
              sysv->id);
    return error_hint(err, "restart with --pid-namespace=new, or as root, or give cr-restore the file capability "
                           "cap_checkpoint_restore");
}

static int taken(const struct sysv *sysv, const char *what, unsigned value, struct caesura_error *err)
{
    error_set(err, CAESURA_EBUSY_, "System V %s %d cannot be made again: its %s %#x is taken", name_of(sysv), sysv->id,
              what, value);
    return error_hint(err, "remove what is left of an earlier run (ipcrm), or restart with --pid-namespace=new");
}

static int create(const struct restore *restore, const struct sysv *sysv)
{
    int flags = IPC_CREAT | IPC_EXCL | 0600;

    if (sysv->kind == SYSV_SEMAPHORES)
        return semget((key_t)sysv->key, (int)sysv->size, flags);
    const struct file *file = context_file(restore->context, sysv->file);
    if (file->huge_shift)
        flags |= SHM_HUGETLB | (int)(file->huge_shift << SHM_HUGE_SHIFT);
    return shmget((key_t)sysv->key, sysv->size, flags);
}

static void remove_object(const struct sysv *sysv, int id)
{
    if (sysv->kind == SYSV_SEGMENT)
        shmctl(id, IPC_RMID, NULL);
    else
        semctl(id, 0, IPC_RMID);
}

static int set_attributes(const struct sysv *sysv, uid_t uid, gid_t gid)
{
    struct shmid_ds segment = {.shm_perm = {.uid = uid, .gid = gid, .mode = sysv->mode & 0777}};
    struct semid_ds set = {.sem_perm = {.uid = uid, .gid = gid, .mode = sysv->mode & 0777}};

    if (sysv->kind == SYSV_SEGMENT)
        return shmctl(sysv->id, IPC_SET, &segment);
    return semctl(sysv->id, 0, IPC_SET, (union semctl_argument){.buf = &set});
}

/* Somebody else's object becomes ours where his id does not exist: in a user namespace. */
static int set_owner(const struct restore *restore, const struct sysv *sysv, struct caesura_error *err)
{
    if (!set_attributes(sysv, sysv->uid, sysv->gid))
        return 0;
    if ((errno == EINVAL || errno == EPERM) && !set_attributes(sysv, geteuid(), getegid())) {
        restore_note(restore, "System V %s %d belongs to user %u now, not to %u", name_of(sysv), sysv->id, geteuid(),
                     sysv->uid);
        return 0;
    }
    return error_errno(err, errno, "cannot set owner and mode of System V %s %d", name_of(sysv), sysv->id);
}

static int set_semaphores(const struct restore *restore, const struct sysv *sysv, struct caesura_error *err)
{
    union semctl_argument values = {.array = sysv->state.data};

    if (semctl(sysv->id, 0, SETALL, values) < 0)
        return error_errno(err, errno, "cannot set System V semaphore set %d", sysv->id);
    return set_owner(restore, sysv, err);
}

int sysv_make(struct restore *restore, struct caesura_error *err)
{
    const struct context *context = restore->context;
    int rc = 0;

    for (uint32_t i = 0; i < context->n_sysv && !rc; i++) {
        const struct sysv *sysv = &context->sysv[i];
        if ((rc = choose_id(sysv, err)))
            break;
        int id = create(restore, sysv);
        if (id < 0)
            return errno == EEXIST ? taken(sysv, "key", sysv->key, err)
                                   : error_errno(err, errno, "cannot make System V %s %d", name_of(sysv), sysv->id);
        if (id != sysv->id) {
            remove_object(sysv, id);
            return taken(sysv, "number", (unsigned)sysv->id, err);
        }
        restore->n_sysv_made = i + 1;
        if (sysv->kind == SYSV_SEMAPHORES)
            rc = set_semaphores(restore, sysv, err);
    }
    return rc;
}

int sysv_attach(const struct restore *restore, const struct file *file, uint64_t address, bool read_only,
                struct caesura_error *err)
{
    for (uint32_t i = 0; i < restore->context->n_sysv; i++) {
        const struct sysv *sysv = &restore->context->sysv[i];
        if (sysv->kind != SYSV_SEGMENT || sysv->file != file->id)
            continue;
        if (shmat(sysv->id, (const void *)address, read_only ? SHM_RDONLY : 0) == (void *)address)
            return 0;
        return error_errno(err, errno, "cannot attach System V shared memory segment %d", sysv->id);
    }
    return error_set(err, CAESURA_EFORMAT, "file %u of the context is of no System V segment in it", file->id);
}

int sysv_settle(const struct restore *restore, struct caesura_error *err)
{
    for (uint32_t i = 0; i < restore->context->n_sysv; i++) {
        const struct sysv *sysv = &restore->context->sysv[i];
        int rc = 0;
        if (sysv->kind != SYSV_SEGMENT)
            continue;
        if ((sysv->mode & SHM_LOCKED) && shmctl(sysv->id, SHM_LOCK, NULL) < 0)
            restore_note(restore, "System V shared memory segment %d cannot be locked into memory again: %s", sysv->id,
                         strerror(errno));
        if ((rc = set_owner(restore, sysv, err)))
            return rc;
        if ((sysv->mode & SHM_DEST) && shmctl(sysv->id, IPC_RMID, NULL) < 0)
            return error_errno(err, errno, "cannot remove System V shared memory segment %d again", sysv->id);
    }
    return 0;
}

void sysv_undo(struct restore *restore)
{
    /* What was marked to be removed goes away by itself; asking once more does no harm. */
    for (uint32_t i = 0; i < restore->n_sysv_made; i++)
        remove_object(&restore->context->sysv[i], restore->context->sysv[i].id);
    restore->n_sysv_made = 0;
}
