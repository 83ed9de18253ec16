/*
 * test_fuzz_context.c - hostile contexts through everything that reads one without touching the world: the reader with
 * all checks, the description, and those parts of a restart that only plan.
 *
 *   test_fuzz_context            mutates contexts of its own for FUZZ_SECONDS (20 under ASan, else 5) from FUZZ_SEED (1)
 *   test_fuzz_context FILE...    reads the files of one context, such as a reproducer
 *
 * Most mutations are made in sections that are taken apart, and get right checksums, so that they arrive in the decoders.
 * A child does the work; the parent watches it. When the child dies, hangs or finds a contradiction, the parent writes
 * the context that it was at to a folder, names that, and fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/lib_context.h"
#include "context/codec.h"
#include "context/reader.h"
#include "descriptors/sockets.h"
#include "files/internal.h"
#include "restore/build.h"
#include "restore/tree.h"
#include "restore/vdso.h"

#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define DEFAULT_SECONDS 20
#else
#define DEFAULT_SECONDS 5
#endif

#define MOST_FILES 3
#define MOST_BYTES (1u << 20) /* of one file */
#define HANG_SECONDS 20
#define SEEDS 24
#define FILL_MOST (4u << 20) /* files of up to so many bytes are filled in */

/* What the parent sees of the child. */
struct shared {
    uint64_t runs, accepted, planned;
    uint32_t count;
    uint32_t sizes[MOST_FILES];
    uint8_t bytes[MOST_FILES][MOST_BYTES];
};

static struct shared *shared;
static int fds[MOST_FILES];

/* A contradiction: the reader took what it should not have, or gave other than what was there. */
static void insist(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

/* ---- readers ---- */

/* What restart does with the state of sockets before it makes any. */
static void read_states(const struct restore *restore)
{
    for (uint32_t i = 0; i < restore->context->n_descriptions; i++) {
        const struct description *description = &restore->context->descriptions[i];
        struct unix_state state;
        struct message message;
        proc_is_late(restore, description);
        process_fd_is_late(restore, description);
        if (!unix_state_decode(description, &state))
            continue;
        insist(state.name_size <= sizeof(((struct sockaddr_un *)0)->sun_path), "a name longer than any address");
        for (uint32_t count = reader_u32(&state.messages); count && message_next(&state.messages, &message); count--)
            insist(message.size == 0 || message.data, "a message without its data");
    }
}

/* Fills what files had into unnamed memory. */
static void fill_files(struct restore *restore)
{
    const struct context *context = restore->context;
    struct files_state *state;
    struct caesura_error err;

    if (files_state_get(restore, &state, &err))
        return;
    for (uint32_t i = 0; i < context->n_files; i++) {
        if (context->files[i].size > FILL_MOST || context->files[i].huge_shift)
            continue;
        int fd = memfd_create("file", MFD_CLOEXEC);
        bool matches = false;
        if (!image_fill(restore, i, fd, &err)) {
            insist(!image_matches(restore, i, fd, &matches, &err) && matches,
                   "a file that was filled in is not what it was");
            insist(!image_rewrite(restore, i, fd, &err), "a file that was filled in cannot be rewritten");
        }
        close(fd);
    }
    files_end(restore);
}

static void plan_restart(struct restore *restore, unsigned choice)
{
    struct tree tree;
    struct caesura_error err;

    restore->options.restore_pid = choice & 1;
    restore->options.restore_sid = choice & 2;
    restore->options.restore_pgid = choice & 4;
    restore->new_namespace = choice & 8;
    if (!tree_plan(restore, 5, &tree, &err)) {
        shared->planned++;
        for (uint32_t i = 0; i < restore->context->n_processes; i++)
            insist(tree.nodes[i].parent < (int)restore->context->n_processes, "a parent that is not there");
    }
    tree_free(&tree);
}

/* The records that were read, written again, are read as the same. */
static void write_again(const struct context *context)
{
    struct image image = image_of_records(context), before = records_of(context), after;
    struct context_source source;
    struct caesura_error err;
    int32_t fd = image_open(&image);

    insist(!context_source_open(&source, &fd, 1, true, &err), "what was read cannot be written and read again");
    after = records_of(&source.context);
    insist(before.size == after.size && !memcmp(before.bytes, after.bytes, after.size),
           "records change when written again");
    context_source_free(&source);
    close(fd);
    image_free(&before);
    image_free(&after);
    image_free(&image);
}

static void read_everything(size_t count, unsigned choice)
{
    struct restore restore = {.fd_base = 1000};
    struct caesura_error err = {0}, other = {0};
    char *json = NULL;

    int described = caesura_context_describe(fds, count, &json, &err);
    insist(!described == !!json, "a description without success, or success without one");
    insist(!json || json_is_valid(json), "the description is no JSON");
    insist(described == 0 || (err.code == -described && err.message[0]), "a failure without a message");
    caesura_free(json);
    int verified = caesura_context_verify(fds, count, &err);
    int opened = context_source_open(&restore.source, fds, count, true, &other);
    insist(opened == verified && (opened || !described), "readers disagree");
    if (!opened) {
        shared->accepted++;
        restore.context = &restore.source.context;
        if (restore.context->n_processes) {
            restore_check_cpu(restore.context, &err);
            plan_restart(&restore, choice);
            for (uint32_t i = 0; i < restore.source.n_data; i++)
                vdso_is_data(&restore.context->processes[0], &restore.source.data[i]);
        }
        read_states(&restore);
        fill_files(&restore);
        write_again(restore.context);
    }
    context_source_free(&restore.source);
}

/* ---- mutations ---- */

static const uint32_t numbers[] = {0,          1,          2,          3,          4,         5,        7,
                                   8,          16,         0x7f,       0x80,       0xff,      0x100,    0xfff,
                                   0x1000,     0x1001,     0xffff,     0x10000,    0x100000,  0x100001, 0x7fffffff,
                                   0x80000000, 0xfffffff8, 0xfffffffc, 0xfffffffe, 0xffffffff};

static uint32_t a_number(struct random *random)
{
    return random_below(random, 3) ? numbers[random_below(random, sizeof numbers / sizeof *numbers)]
                                   : (uint32_t)random_u64(random);
}

static void mutate_bytes(struct random *random, uint8_t *bytes, size_t size)
{
    uint32_t value = a_number(random);
    uint64_t wide = random_below(random, 2) ? value : (uint64_t)value << 32 | a_number(random);
    uint32_t at = size ? random_below(random, (uint32_t)size) : 0;

    if (size >= 4 && random_below(random, 4))
        at = random_below(random, (uint32_t)(size - 3));
    switch (random_below(random, 5)) {
    case 0:
        if (size)
            bytes[at] ^= (uint8_t)(1u << random_below(random, 8));
        break;
    case 1:
        if (size)
            bytes[at] = (uint8_t)value;
        break;
    case 2:
        if (size >= at + 8)
            memcpy(bytes + at, &wide, 8);
        break;
    case 3:
        /* A count or length that is off by a little. */
        if (size >= at + 4) {
            memcpy(&value, bytes + at, 4);
            value += random_below(random, 9) - 4;
            memcpy(bytes + at, &value, 4);
        }
        break;
    default:
        if (size >= at + 4)
            memcpy(bytes + at, &value, 4);
    }
}

/* Sets the record's own length right, where a record is. */
static void set_length(struct section *section)
{
    uint32_t type = section->header.type, length = (uint32_t)section->size - 4;
    if (section->size >= 4 && type >= SECTION_SCOPE && type <= SECTION_PROCESS)
        memcpy(section->payload, &length, 4);
}

static void mutate_length(struct random *random, struct section *section)
{
    uint8_t bytes[64];
    uint32_t at = random_below(random, (uint32_t)section->size + 1), size = random_below(random, sizeof bytes);
    uint32_t left = (uint32_t)section->size - at;

    if (random_below(random, 2)) {
        section_splice(section, at, random_below(random, (left < 64 ? left : 64) + 1), NULL, 0);
    } else {
        for (uint32_t i = 0; i < size; i++)
            bytes[i] = random_below(random, 2) ? 0 : (uint8_t)random_u64(random);
        section_splice(section, at, 0, bytes, size);
    }
    if (random_below(random, 4))
        set_length(section);
}

static void mutate_header(struct random *random, struct section *section)
{
    switch (random_below(random, 4)) {
    case 0:
        section->header.type = random_below(random, 11);
        break;
    case 1:
        section->header.owner = random_below(random, 2) ? random_below(random, 8) : a_number(random);
        break;
    case 2:
        section->header.flags = random_below(random, 2);
        break;
    default:
        section->header.length =
            random_below(random, 2) ? a_number(random) : section->size + random_below(random, 65) - 32;
    }
}

static void mutate_sections(struct random *random, struct file_parts *parts)
{
    uint32_t from = random_below(random, (uint32_t)parts->count), to = random_below(random, (uint32_t)parts->count);
    struct section section = parts->sections[from];

    switch (random_below(random, 3)) {
    case 0:
        if (parts->count < 40)
            parts_insert(parts, to, &section);
        break;
    case 1:
        if (parts->count > 1)
            parts_remove(parts, from);
        break;
    default:
        parts->sections[from] = parts->sections[to];
        parts->sections[to] = section;
    }
}

static void mutate(struct random *random, struct file_parts *parts)
{
    for (uint32_t times = 1 + random_below(random, 4); times && parts->count; times--) {
        struct section *section = &parts->sections[random_below(random, (uint32_t)parts->count)];
        uint32_t what = random_below(random, 100);
        /* Tables rather than the pages behind them. */
        size_t size = section->header.type == SECTION_PAGES || section->header.type == SECTION_CONTENT
                          ? (section->size < 64 ? section->size : 64)
                          : section->size;
        if (what < 65)
            mutate_bytes(random, section->payload, size);
        else if (what < 80)
            mutate_length(random, section);
        else if (what < 88)
            mutate_header(random, section);
        else if (what < 97)
            mutate_sections(random, parts);
        else
            mutate_bytes(random, (uint8_t *)&parts->header, sizeof parts->header);
    }
}

static unsigned join_flags(struct random *random)
{
    return random_below(random, 40) ? 0 : random_below(random, 2) ? JOIN_KEEPS_END : JOIN_AS_IT_IS;
}

/* Makes the next context in shared, from one of the seeds. */
static void make_case(struct random *random, const struct image *seeds, const size_t *counts)
{
    uint32_t seed = random_below(random, SEEDS);

    shared->count = (uint32_t)counts[seed];
    for (size_t i = 0; i < counts[seed]; i++) {
        const struct image *image = &seeds[seed * MOST_FILES + i];
        struct file_parts parts;
        parts_take(image, &parts);
        mutate(random, &parts);
        struct image joined = parts_join(&parts, join_flags(random));
        parts_free(&parts);
        if (!random_below(random, 30))
            mutate_bytes(random, joined.bytes, joined.size);
        if (!random_below(random, 60))
            joined.size = random_below(random, (uint32_t)joined.size + 1);
        if (joined.size > MOST_BYTES)
            joined.size = MOST_BYTES;
        memcpy(shared->bytes[i], joined.bytes, joined.size);
        shared->sizes[i] = (uint32_t)joined.size;
        image_free(&joined);
    }
}

static void put_case(void)
{
    for (uint32_t i = 0; i < shared->count; i++)
        insist(!ftruncate(fds[i], 0) &&
                   pwrite(fds[i], shared->bytes[i], shared->sizes[i], 0) == (ssize_t)shared->sizes[i],
               "cannot write a case");
}

/* ---- seeds ---- */

/* Sockets with messages, and the files and processes of a real context: things that random bytes do not hit upon. */
static void make_plausible(struct random *random, struct context *context)
{
    for (uint32_t i = 0; i < context->n_files; i++)
        context->files[i].size = random_below(random, 20000);
    for (uint32_t i = 0; i < context->n_descriptions; i++) {
        struct description *description = &context->descriptions[i];
        struct unix_state state = {.type = SOCK_STREAM, .role = random_below(random, 6), .peer = i + 1};
        struct buffer bytes = {0};
        unix_state_encode(&bytes, &state);
        buffer_u32(&bytes, 1); /* an option: level, name, value */
        buffer_u64(&bytes, 1);
        buffer_u32(&bytes, 4);
        buffer_u32(&bytes, 7);
        buffer_u32(&bytes, 1); /* a message: sender, data, what travels with it */
        buffer_u32(&bytes, 2);
        buffer_bytes(&bytes, "me", 2);
        buffer_u32(&bytes, 5);
        buffer_bytes(&bytes, "hello", 5);
        buffer_u32(&bytes, 1);
        buffer_u32(&bytes, 1);
        description->kind = DESCRIPTION_UNIX;
        free(description->state.data);
        description->state = (struct blob){bytes.data, (uint32_t)bytes.size};
    }
    for (uint32_t i = 0; i < context->n_processes; i++) {
        struct process *process = &context->processes[i];
        process->state = 1 + random_below(random, 3);
        process->sid = context->processes[random_below(random, i + 1)].pid;
        process->pgid = context->processes[random_below(random, context->n_processes)].pid;
    }
    context->scope.xfeatures = 3;
}

static void make_seeds(struct image *seeds, size_t *counts)
{
    for (uint32_t i = 0; i < SEEDS; i++) {
        struct random random = random_seeded(i + 100);
        struct context context;
        counts[i] = i % 4 == 3 ? 2 + i % 2 : 1;
        if (i == 0)
            context_small(&context);
        else
            context_random(&random, &context, counts[i] > 1 ? (uint32_t)counts[i] : 1 + i % 6);
        if (i)
            make_plausible(&random, &context);
        images_write(&context, &seeds[i * MOST_FILES], counts[i]);
        context_free(&context);
    }
}

/* ---- child and parent ---- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void open_fds(void)
{
    for (int i = 0; i < MOST_FILES; i++)
        fds[i] = memfd_create("fuzz", MFD_CLOEXEC);
}

static void child_main(uint64_t seed, double seconds)
{
    static struct image seeds[SEEDS * MOST_FILES];
    size_t counts[SEEDS];
    struct random random = random_seeded(seed);
    double end = now() + seconds;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    make_seeds(seeds, counts);
    open_fds();
    /* The seeds themselves have to be good, or nothing that comes of them reaches anything. */
    for (uint32_t i = 0; i < SEEDS; i++) {
        struct caesura_error err = {0};
        if (images_verify(&seeds[i * MOST_FILES], counts[i], &err)) {
            fprintf(stderr, "fuzz: seed %u is not good: %s\n", i, err.message);
            abort();
        }
    }
    do {
        make_case(&random, seeds, counts);
        put_case();
        read_everything(shared->count, (unsigned)random_below(&random, 16));
        shared->runs++;
    } while (now() < end);
    for (size_t i = 0; i < SEEDS * MOST_FILES; i++)
        image_free(&seeds[i]);
}

static void save_reproducer(uint64_t seed)
{
    const char *folder = getenv("FUZZ_FOLDER");
    char command[8192], name[4096];
    size_t used;

    if (!folder)
        folder = "/tmp";
    used = (size_t)snprintf(command, sizeof command, "%s", program_invocation_name);
    for (uint32_t i = 0; i < shared->count && i < MOST_FILES; i++) {
        snprintf(name, sizeof name, "%s/caesura-fuzz-%llu-%llu.%u", folder, (unsigned long long)seed,
                 (unsigned long long)shared->runs, i);
        FILE *file = fopen(name, "w");
        if (!file || fwrite(shared->bytes[i], 1, shared->sizes[i], file) != shared->sizes[i])
            fprintf(stderr, "fuzz: cannot write %s: %s\n", name, strerror(errno));
        if (file)
            fclose(file);
        used += (size_t)snprintf(command + used, sizeof command - used, " %s", name);
    }
    printf("reproduce with: %s\n", command);
}

/* Waits for the child; kills it when it has made no step for HANG_SECONDS. */
static int watch(pid_t child)
{
    uint64_t runs = 0;
    double since = now();
    int status;

    for (;;) {
        if (waitpid(child, &status, WNOHANG) == child)
            return status;
        if (runs != shared->runs) {
            runs = shared->runs;
            since = now();
        }
        if (now() - since > HANG_SECONDS) {
            printf("no step in %d seconds\n", HANG_SECONDS);
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return status;
        }
        usleep(20000);
    }
}

static int fuzz(uint64_t seed, double seconds)
{
    printf("seed %llu for %.0f seconds\n", (unsigned long long)seed, seconds);
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        child_main(seed, seconds);
        fflush(NULL);
        exit(0); /* by way of the leak check */
    }
    int status = child < 0 ? -1 : watch(child);
    printf("%llu contexts, %llu taken for good, %llu of them could be built\n", (unsigned long long)shared->runs,
           (unsigned long long)shared->accepted, (unsigned long long)shared->planned);
    if (status) {
        printf("the reader %s %d\n", WIFSIGNALED(status) ? "was ended by signal" : "exited with",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        save_reproducer(seed);
        return 1;
    }
    /* A fuzzer that reaches nothing finds nothing. */
    if (shared->runs < 100 || shared->accepted < shared->runs / 100 || !shared->planned) {
        printf("too few of them: the mutations or the time are at fault\n");
        return 1;
    }
    return 0;
}

static int replay(char *const *names, int count)
{
    if (count > MOST_FILES)
        return 2;
    for (int i = 0; i < count; i++) {
        fds[i] = open(names[i], O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0) {
            perror(names[i]);
            return 2;
        }
    }
    for (unsigned choice = 0; choice < 16; choice++)
        read_everything((size_t)count, choice);
    struct caesura_error err = {0};
    printf("%s\n", caesura_context_verify(fds, (size_t)count, &err) ? err.message : "good");
    return 0;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("FUZZ_SEED"), *seconds = getenv("FUZZ_SECONDS");

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    if (argc > 1)
        return replay(argv + 1, argc - 1);
    return fuzz(seed ? strtoull(seed, NULL, 0) : 1, seconds ? strtod(seconds, NULL) : DEFAULT_SECONDS);
}
