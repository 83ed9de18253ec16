/*
 * lib_scene.h - plays a scene: processes make descriptors and stop; they are captured, the context is written and read, they
 * are killed; others get the descriptors restored and look whether everything is as it was.
 */
#ifndef CAESURA_TESTS_LIB_SCENE_H
#define CAESURA_TESTS_LIB_SCENE_H

#include <stdint.h>
#include <sys/types.h>

#include "capture/capture.h"

#define SCENE_PROCESSES 8
#define SCENE_SLOTS 64

/* Memory that all processes of a scene share, the restored ones too. Cleared for each scene. */
struct stage {
    char folder[64]; /* temporary, the working folder of all */
    int n_processes;
    pid_t pids[SCENE_PROCESSES], restored[SCENE_PROCESSES];
    int fd[SCENE_SLOTS];
    int64_t number[SCENE_SLOTS];
    char text[1024];
};

struct scene {
    /* In the test itself, before the processes are started. May be NULL. */
    void (*prepare)(struct stage *stage);
    void (*make)(struct stage *stage);
    /* In restored process index (0: the first); NULL or what is wrong. Called one process after the other. */
    const char *(*verify)(struct stage *stage, int index);
    /* The same again when all have verified, the last process first. May be NULL. */
    const char *(*verify_later)(struct stage *stage, int index);
    /* In the test itself, when the processes have been killed. May be NULL. */
    void (*between)(struct stage *stage);
    /* In the builder, before it opens anything. */
    void (*builder)(struct stage *stage);
};

extern struct stage *stage;

/** In make(): a further process of the scene. 0 in the child, which ends with scene_stop(). */
pid_t scene_fork(void);
/** The same, sharing the descriptor table (CLONE_FILES). */
pid_t scene_fork_sharing(void);
/** A process stops for the checkpoint. make() of the first process just returns. */
void scene_stop(void) __attribute__((noreturn));

/** Plays all of it; fails the test with what went wrong. */
void scene_play(const struct scene *scene);
/** Plays until capture, which has to refuse: with the first process, descriptor fd and these words in message and remedy. */
void scene_refuse(const struct scene *scene, int *fd, const char *what, const char *remedy);
/** Plays until the restart, which has to fail with these words. */
void scene_fail(const struct scene *scene, const char *what);
/**
 * Plays until the restart, and tries that with records in which some bytes have been changed, that many times: it may fail,
 * but not crash or hang.
 */
void scene_damage(const struct scene *scene, int rounds);
/** In verify(): the pid of restored process index. */
pid_t scene_pid(int index);
/** Time that descriptors_capture() took in the last scene. */
extern uint64_t scene_capture_ns;

/** A line number and condition as text. */
#define SCENE_TEXT_(x) #x
#define SCENE_TEXT(x) SCENE_TEXT_(x)
#define CHECK(condition)                                              \
    do {                                                              \
        if (!(condition))                                             \
            return __FILE__ ":" SCENE_TEXT(__LINE__) ": " #condition; \
    } while (0)
/** In make(): ends the process, which fails the test. */
#define MUST(condition)                                \
    do {                                               \
        if (!(condition))                              \
            scene_die(__FILE__, __LINE__, #condition); \
    } while (0)
void scene_die(const char *file, int line, const char *what) __attribute__((noreturn));

#endif
