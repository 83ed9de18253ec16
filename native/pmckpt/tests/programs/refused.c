/*
 * refused KIND: schedules a checkpoint in a state that cannot be saved, then goes on, undoes it, and takes the
 * checkpoint. Prints "before", "between", "after".
 */
#include "pmckpt.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static sem_t leave;
static pthread_t other;
static void *shared;
static timer_t timer;
static FILE *unlinked;
static ucontext_t main_context, other_context;
static char other_stack[256 << 10];

static void *wait_to_leave(void *argument)
{
    sem_wait(&leave);
    return argument;
}

static void on_other_stack(void)
{
CKPT VARS
CKPT TOPS
    ckpt_schedule();
CKPT POINT other_a other_here
CKPT BOTS
}

static void set_up(const char *kind)
{
    struct sigevent event = {.sigev_notify = SIGEV_NONE};

    if (strcmp(kind, "thread") == 0) {
        sem_init(&leave, 0, 0);
        pthread_create(&other, NULL, wait_to_leave, NULL);
    } else if (strcmp(kind, "shared") == 0) {
        shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    } else if (strcmp(kind, "timer") == 0) {
        timer_create(CLOCK_MONOTONIC, &event, &timer);
    } else if (strcmp(kind, "unlinked") == 0) {
        unlinked = tmpfile();
    }
}

static void undo(const char *kind)
{
    if (strcmp(kind, "thread") == 0) {
        sem_post(&leave);
        pthread_join(other, NULL);
    } else if (strcmp(kind, "shared") == 0) {
        munmap(shared, 4096);
    } else if (strcmp(kind, "timer") == 0) {
        timer_delete(timer);
    } else if (strcmp(kind, "unlinked") == 0) {
        fclose(unlinked);
    }
}

static void start_other_stack(void)
{
    getcontext(&other_context);
    other_context.uc_stack.ss_sp = other_stack;
    other_context.uc_stack.ss_size = sizeof(other_stack);
    other_context.uc_link = &main_context;
    makecontext(&other_context, on_other_stack, 0);
    swapcontext(&main_context, &other_context);
}

static void has_no_point_before_it(void)
{
CKPT VARS
CKPT TOPS
    ckpt_schedule();
CKPT POINT inner_a inner_here
CKPT BOTS
}

int main(int argc, char **argv)
{
CKPT VARS
    const char *kind;
CKPT TOPS

    kind = argc > 1 ? argv[1] : "";
    printf("before\n");
    fflush(stdout);
    set_up(kind);
    if (strcmp(kind, "stack") == 0) {
CKPT POINT main_a main_other_stack
        start_other_stack();
    } else if (strcmp(kind, "call") == 0) {
        has_no_point_before_it();
    } else {
        ckpt_schedule();
CKPT POINT main_b main_first
    }
    printf("between\n");
    fflush(stdout);
    undo(kind);
    ckpt_schedule();
CKPT POINT main_c main_second
    printf("after\n");
    return 0;
CKPT BOTS
}
