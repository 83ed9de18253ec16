/*
 * thread_sync.c - threads, or processes with shared memory, that wait for each other by all means of pthreads.
 * Cases: threads processes
 */
#include <pthread.h>
#include <semaphore.h>

#include "victim.h"

enum { WAITERS = 7 };

static struct shared {
    pthread_mutex_t mutex, recursive, inherit, checked;
    pthread_cond_t condition;
    pthread_rwlock_t lock;
    pthread_barrier_t barrier;
    sem_t semaphore;
    bool open;
    _Atomic int waiting, passed;
} * s;

static void init(int shared)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;
    pthread_rwlockattr_t lock;
    pthread_barrierattr_t barrier;
    int kind = shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE;

    s = map_memory(2 * PAGE, shared ? MAP_SHARED : MAP_PRIVATE);
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, kind);
    need(pthread_mutex_init(&s->mutex, &mutex) == 0);
    pthread_mutexattr_settype(&mutex, PTHREAD_MUTEX_ERRORCHECK);
    need(pthread_mutex_init(&s->checked, &mutex) == 0);
    pthread_mutexattr_settype(&mutex, PTHREAD_MUTEX_RECURSIVE);
    need(pthread_mutex_init(&s->recursive, &mutex) == 0);
    pthread_mutexattr_setprotocol(&mutex, PTHREAD_PRIO_INHERIT);
    need(pthread_mutex_init(&s->inherit, &mutex) == 0);
    pthread_condattr_init(&condition);
    pthread_condattr_setpshared(&condition, kind);
    need(pthread_cond_init(&s->condition, &condition) == 0);
    pthread_rwlockattr_init(&lock);
    pthread_rwlockattr_setpshared(&lock, kind);
    need(pthread_rwlock_init(&s->lock, &lock) == 0);
    pthread_barrierattr_init(&barrier);
    pthread_barrierattr_setpshared(&barrier, kind);
    need(pthread_barrier_init(&s->barrier, &barrier, 2) == 0);
    need(sem_init(&s->semaphore, shared, 0) == 0);
}

static void *waiter(void *argument)
{
    s->waiting++;
    switch ((long)argument) {
    case 0:
        check(pthread_mutex_lock(&s->checked) == 0 && pthread_mutex_unlock(&s->checked) == 0, "mutex");
        break;
    case 1:
        check(pthread_mutex_lock(&s->recursive) == 0 && pthread_mutex_unlock(&s->recursive) == 0, "recursive mutex");
        break;
    case 2:
        check(pthread_mutex_lock(&s->inherit) == 0 && pthread_mutex_unlock(&s->inherit) == 0, "inheriting mutex");
        break;
    case 3:
        pthread_mutex_lock(&s->mutex);
        while (!s->open)
            check(pthread_cond_wait(&s->condition, &s->mutex) == 0, "condition");
        pthread_mutex_unlock(&s->mutex);
        break;
    case 4:
        check(pthread_rwlock_wrlock(&s->lock) == 0 && pthread_rwlock_unlock(&s->lock) == 0, "lock");
        break;
    case 5:
        pthread_barrier_wait(&s->barrier);
        break;
    default:
        check(sem_wait(&s->semaphore) == 0, "semaphore: %s", strerror(errno));
    }
    s->passed++;
    return NULL;
}

int main(int argc, char **argv)
{
    bool processes = is_case(argc, argv, "processes");
    pthread_t threads[WAITERS];
    pid_t pids[WAITERS];

    init(processes);
    need(pthread_mutex_lock(&s->checked) == 0 && pthread_mutex_lock(&s->inherit) == 0);
    need(pthread_mutex_lock(&s->recursive) == 0 && pthread_mutex_lock(&s->recursive) == 0);
    need(pthread_rwlock_rdlock(&s->lock) == 0);
    for (long i = 0; i < WAITERS; i++) {
        if (!processes) {
            need(pthread_create(&threads[i], NULL, waiter, (void *)i) == 0);
        } else if ((pids[i] = fork_child()) == 0) {
            waiter((void *)i);
            finish();
        }
    }
    while (s->waiting < WAITERS)
        victim_nap();
    ready();
    wait_go();

    same("waiters that got through", s->passed, 0);
    same("locking an error checking mutex twice", pthread_mutex_lock(&s->checked), EDEADLK);
    same("unlocking it", pthread_mutex_unlock(&s->checked), 0);
    check(pthread_mutex_unlock(&s->recursive) == 0 && pthread_mutex_unlock(&s->recursive) == 0, "recursive mutex");
    same("unlocking the inheriting mutex", pthread_mutex_unlock(&s->inherit), 0);
    pthread_mutex_lock(&s->mutex);
    s->open = true;
    pthread_cond_broadcast(&s->condition);
    pthread_mutex_unlock(&s->mutex);
    pthread_rwlock_unlock(&s->lock);
    pthread_barrier_wait(&s->barrier);
    sem_post(&s->semaphore);
    for (int i = 0; i < WAITERS; i++) {
        if (processes)
            reap(pids[i]);
        else
            pthread_join(threads[i], NULL);
    }
    same("waiters that got through", s->passed, WAITERS);
    finish();
}
