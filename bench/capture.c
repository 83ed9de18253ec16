/*
 * capture.c - measures libcapture side by side with what a program could do by itself. Called by bench/run.
 *
 *     capture memory MIB FOLDER ROUNDS     a process with MIB of random memory, against a write() of as many bytes
 *     capture processes COUNT ROUNDS       the freeze of COUNT processes, against SIGSTOP and wait for each
 *     capture threads COUNT ROUNDS         the freeze of COUNT threads of a process, against SIGSTOP and wait
 *     capture metadata THREADS MAPS FILES ROUNDS      all but memory, against reading /proc/PID/smaps
 *
 * Prints a line for each round: names and values, all times in ns. The first round only warms up and is not printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "caesura.h"

#define MIB ((size_t)1 << 20)

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "capture: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void die_of(const struct caesura_error *err)
{
    fprintf(stderr, "capture: %s\n", err->message);
    exit(1);
}

static void log_line(void *data, int level, const char *text)
{
    (void)data;
    if (level >= CAESURA_LOG_WARNING)
        fprintf(stderr, "capture: %s\n", text);
}

/* ---- victims ---------------------------------------------------------------------------------------------------- */

static void *pause_forever(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

static void start_threads(size_t count)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&thread, &attributes, pause_forever, NULL) != 0)
            die("pthread_create");
}

static void fill_random(uint8_t *memory, size_t size)
{
    uint64_t seed, *words = (uint64_t *)memory;

    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        die("getrandom");
    /* xorshift: no two pages alike, and nothing that a compressor could use. */
    for (size_t i = 0; i < size / sizeof *words; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        words[i] = seed;
    }
}

static uint8_t *make_memory(size_t size)
{
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    /* The worst case for whoever copies it, and the same on every machine. */
    madvise(memory, size, MADV_NOHUGEPAGE);
    fill_random(memory, size);
    return memory;
}

struct shape {
    size_t bytes, processes, threads, maps, files;
};

static void be_victim(const struct shape *shape, int ready)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (shape->bytes)
        make_memory(shape->bytes);
    start_threads(shape->threads);
    for (size_t i = 0; i < shape->maps; i++) {
        /* Neighbours of unlike rights do not merge into one map. */
        int rights = i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
        if (mmap(NULL, 4 * 4096, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            die("mmap");
    }
    for (size_t i = 0; i < shape->files; i++)
        if (open("/dev/null", O_RDONLY) < 0)
            die("/dev/null");
    for (size_t i = 0; i < shape->processes; i++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pause_forever(NULL);
        }
    }
    if (write(ready, "", 1) != 1)
        die("pipe");
    close(ready);
    pause_forever(NULL);
}

static pid_t start_victim(const struct shape *shape)
{
    int ready[2];
    char byte;

    fflush(stdout);
    if (pipe2(ready, O_CLOEXEC) < 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        close(ready[0]);
        be_victim(shape, ready[1]);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        fprintf(stderr, "capture: the process to be measured did not start\n");
        exit(1);
    }
    close(ready[0]);
    return pid;
}

static void end_victim(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* ---- captures --------------------------------------------------------------------------------------------------- */

static struct caesura_capture *open_capture(pid_t pid)
{
    struct caesura_capture_request request = {
        .size = sizeof request, .scope = CAESURA_SCOPE_TREE, .id = pid, .copy_limit_bytes = 64 * MIB};
    struct caesura_capture *capture;
    struct caesura_error err;

    if (caesura_capture_open(&request, log_line, NULL, &capture, &err) < 0)
        die_of(&err);
    return capture;
}

/* Freezes and looks, writes nothing. */
static struct caesura_capture_result look(pid_t pid)
{
    struct caesura_capture_result result = {.size = sizeof result};
    struct caesura_capture *capture = open_capture(pid);

    caesura_capture_release(capture);
    caesura_capture_result(capture, &result);
    caesura_capture_close(capture);
    return result;
}

static int create(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path);
    return fd;
}

static uint64_t plain_write(const uint8_t *memory, size_t size, const char *folder)
{
    int fd = create(folder, "plain");
    uint64_t began = now_ns();
    for (size_t done = 0; done < size;) {
        size_t step = size - done < MIB ? size - done : MIB;
        ssize_t written = write(fd, memory + done, step);
        if (written < 0)
            die("write");
        done += (size_t)written;
    }
    uint64_t took = now_ns() - began;
    close(fd);
    return took;
}

static void capture_to_file(pid_t pid, const char *folder, uint64_t *total_ns, struct caesura_capture_result *result)
{
    struct caesura_error err;
    int32_t fd = create(folder, "context");
    uint64_t began = now_ns();
    struct caesura_capture *capture = open_capture(pid);

    if (caesura_capture_write(capture, &fd, 1, NULL, NULL, &err) < 0)
        die_of(&err);
    caesura_capture_release(capture);
    *total_ns = now_ns() - began;
    result->size = sizeof *result;
    caesura_capture_result(capture, result);
    caesura_capture_close(capture);
    close(fd);
}

static void measure_memory(size_t size, const char *folder, int rounds)
{
    struct shape shape = {.bytes = size};
    uint8_t *memory = make_memory(size);
    pid_t pid = start_victim(&shape);

    for (int round = 0; round <= rounds; round++) {
        struct caesura_capture_result result;
        uint64_t total_ns, plain_ns = plain_write(memory, size, folder);
        capture_to_file(pid, folder, &total_ns, &result);
        if (round > 0)
            printf("plain %llu pause %llu total %llu bytes %llu\n", (unsigned long long)plain_ns,
                   (unsigned long long)result.pause_ns, (unsigned long long)total_ns,
                   (unsigned long long)result.page_bytes);
    }
    end_victim(pid);
}

/* SIGSTOP for pid and its children until all of them are seen to stand, and on again. */
static uint64_t stop_by_signal(pid_t pid, size_t children)
{
    char path[64];
    int *pids = calloc(children + 1, sizeof *pids);
    size_t count = 0;

    if (!pids)
        die("calloc");
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    uint64_t began = now_ns();
    pids[count++] = pid;
    FILE *list = fopen(path, "re");
    if (!list)
        die(path);
    while (count <= children && fscanf(list, "%d", &pids[count]) == 1)
        count++;
    fclose(list);
    for (size_t i = 0; i < count; i++)
        kill(pids[i], SIGSTOP);
    for (size_t i = 0; i < count; i++) {
        char state = 0;
        snprintf(path, sizeof path, "/proc/%d/stat", pids[i]);
        while (state != 'T') {
            FILE *stat = fopen(path, "re");
            if (!stat || fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
                die(path);
            fclose(stat);
        }
    }
    uint64_t took = now_ns() - began;
    for (size_t i = 0; i < count; i++)
        kill(pids[i], SIGCONT);
    free(pids);
    return took;
}

static uint64_t read_smaps(pid_t pid)
{
    static char buffer[1 << 16];
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    uint64_t began = now_ns();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(path);
    while (read(fd, buffer, sizeof buffer) > 0)
        ;
    close(fd);
    return now_ns() - began;
}

static void measure_freeze(const struct shape *shape, int rounds, bool smaps)
{
    pid_t pid = start_victim(shape);

    for (int round = 0; round <= rounds; round++) {
        uint64_t plain_ns = smaps ? read_smaps(pid) : stop_by_signal(pid, shape->processes);
        struct caesura_capture_result result = look(pid);
        if (round > 0)
            printf("plain %llu freeze %llu collect %llu processes %u threads %u\n", (unsigned long long)plain_ns,
                   (unsigned long long)result.freeze_ns, (unsigned long long)result.collect_ns, result.processes,
                   result.threads);
    }
    end_victim(pid);
}

static size_t number(const char *text)
{
    return strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "memory") == 0) {
        measure_memory(number(argv[2]) * MIB, argv[3], (int)number(argv[4]));
    } else if (argc == 4 && strcmp(argv[1], "processes") == 0) {
        measure_freeze(&(struct shape){.processes = number(argv[2]) - 1}, (int)number(argv[3]), false);
    } else if (argc == 4 && strcmp(argv[1], "threads") == 0) {
        measure_freeze(&(struct shape){.threads = number(argv[2]) - 1}, (int)number(argv[3]), false);
    } else if (argc == 6 && strcmp(argv[1], "metadata") == 0) {
        struct shape shape = {.threads = number(argv[2]) - 1, .maps = number(argv[3]), .files = number(argv[4])};
        measure_freeze(&shape, (int)number(argv[5]), true);
    } else {
        fprintf(stderr, "usage: capture memory|processes|threads|metadata ...; see the head of bench/capture.c\n");
        return 2;
    }
    return 0;
}
