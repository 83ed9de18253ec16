#include "lib_context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context/codec.h"
#include "context/writer.h"
#include "core/arch_x86_64.h"
#include "core/crc32c.h"

#define MOST_FILES 64

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "lib_context: %s failed\n", what);
    abort();
}
#define MUST(condition) must(condition, #condition)

static void *keep(void *memory)
{
    MUST(memory);
    return memory;
}

/* ---- random numbers ---- */

struct random random_seeded(uint64_t seed)
{
    return (struct random){seed * 0x9e3779b97f4a7c15u + 0x853c49e6748fea9bu};
}

/* splitmix64. */
uint64_t random_u64(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t random_below(struct random *random, uint32_t limit)
{
    return (uint32_t)((random_u64(random) >> 32) * limit >> 32);
}

/* ---- random records ---- */

static void fill_u32(struct random *random, uint32_t *value)
{
    *value = (uint32_t)random_u64(random);
}
static void fill_i32(struct random *random, int32_t *value)
{
    *value = (int32_t)random_u64(random);
}
static void fill_u64(struct random *random, uint64_t *value)
{
    *value = random_u64(random);
}

/* Any bytes but NUL: control characters, quotes, whole and broken UTF-8. */
static void fill_str(struct random *random, char **value)
{
    static const char *const pieces[] = {"plain",
                                         "\"",
                                         "\\",
                                         "\n",
                                         "\x01",
                                         "\x7f",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\xff",
                                         "\xc3",
                                         "\xed\xa0\x80",
                                         "/",
                                         "\xf4\x90\x80\x80"};
    char text[256] = "";

    for (uint32_t count = random_below(random, 8); count; count--)
        strcat(text, pieces[random_below(random, sizeof pieces / sizeof *pieces)]);
    *value = keep(strdup(text));
}

static void fill_blob(struct random *random, struct blob *value)
{
    value->size = random_below(random, 4) ? random_below(random, 40) : 0;
    value->data = value->size ? keep(malloc(value->size)) : NULL;
    for (uint32_t i = 0; i < value->size; i++)
        ((uint8_t *)value->data)[i] = (uint8_t)random_u64(random);
}

/* A new element, zeroed. */
#define ADD(list, count) keep(list_grow((void **)&(list), &(count), sizeof *(list)))

#define FILL_FIELD(kind, name) fill_##kind(random, &value->name);
#define FILL_LIST(record, name)                                    \
    for (uint32_t count = random_below(random, 4); count; count--) \
        fill_record_##record(random, ADD(value->name, value->n_##name));
#define FILL(record, FIELDS)                                                      \
    static void fill_record_##record(struct random *random, struct record *value) \
    {                                                                             \
        FIELDS(FILL_FIELD, FILL_LIST)                                             \
    }
RECORDS(FILL)

static uint32_t some(struct random *random, uint32_t count)
{
    return count ? 1 + random_below(random, count) : 0;
}

static void make_maps(struct random *random, const struct context *context, struct process *process)
{
    uint64_t at = 0x10000;

    for (uint32_t i = 0; i < process->n_maps; i++) {
        struct map *map = &process->maps[i];
        map->start = at + ARCH_PAGE_SIZE * random_below(random, 3);
        at = map->end = map->start + ARCH_PAGE_SIZE * some(random, 3);
        map->file = random_below(random, context->n_files + 1);
        map->huge_shift = random_below(random, 41);
    }
}

static void make_descriptors(struct random *random, const struct context *context, struct process *process)
{
    int32_t fd = 0;

    if (!context->n_descriptions) {
        for (uint32_t i = 0; i < process->n_descriptors; i++)
            record_free_descriptor(&process->descriptors[i]);
        process->n_descriptors = 0;
    }
    for (uint32_t i = 0; i < process->n_descriptors; i++) {
        process->descriptors[i].fd = fd;
        fd += (int32_t)some(random, 1000);
        process->descriptors[i].description = some(random, context->n_descriptions);
    }
}

static void make_processes(struct random *random, struct context *context)
{
    int32_t pid = 2;

    for (uint32_t i = 0; i < context->n_processes; i++) {
        context->processes[i].pid = pid;
        pid += (int32_t)some(random, 50);
    }
    for (uint32_t i = 0; i < context->n_processes; i++) {
        struct process *process = &context->processes[i];
        uint32_t other = random_below(random, context->n_processes);
        process->ppid = i ? context->processes[random_below(random, i)].pid : 1;
        process->state = PROCESS_RUNNING;
        if (!process->n_threads)
            fill_record_thread(random, ADD(process->threads, process->n_threads));
        process->exe_file = random_below(random, context->n_files + 1);
        process->files_of = other < i ? (uint32_t)context->processes[other].pid : 0;
        process->fs_of = other > i ? (uint32_t)context->processes[other].pid : 0;
        make_maps(random, context, process);
        make_descriptors(random, context, process);
    }
}

/* Sets of semaphores: they refer to nothing. */
static void make_sysv(struct random *random, struct sysv *sysv)
{
    free(sysv->state.data);
    sysv->kind = SYSV_SEMAPHORES;
    sysv->id = (int32_t)random_below(random, 1000);
    sysv->size = some(random, 100);
    sysv->file = 0;
    sysv->state = (struct blob){keep(calloc(sysv->size, sizeof(uint16_t))), (uint32_t)(sysv->size * sizeof(uint16_t))};
}

static void make_consistent(struct random *random, struct context *context)
{
    for (uint32_t i = 0; i < context->n_files; i++) {
        context->files[i].id = i + 1;
        context->files[i].content = random_below(random, 3);
        context->files[i].size = random_below(random, 3 * FORMAT_FRAME_BYTES / 2);
        context->files[i].huge_shift = 0;
    }
    for (uint32_t i = 0; i < context->n_descriptions; i++) {
        context->descriptions[i].id = i + 1;
        context->descriptions[i].file = random_below(random, context->n_files + 1);
    }
    for (uint32_t i = 0; i < context->n_locks; i++) {
        context->locks[i].description = some(random, context->n_descriptions);
        context->locks[i].kind = LOCK_FLOCK;
    }
    if (!context->n_descriptions)
        context->n_locks = 0;
    for (uint32_t i = 0; i < context->n_sysv; i++)
        make_sysv(random, &context->sysv[i]);
    make_processes(random, context);
}

#define FILL_MANY(record, list, count)            \
    for (uint32_t i = 0, n = (count); i < n; i++) \
        fill_record_##record(random, ADD(context->list, context->n_##list));

void context_random(struct random *random, struct context *context, uint32_t processes)
{
    *context = (struct context){0};
    fill_record_scope(random, &context->scope);
    FILL_MANY(file, files, random_below(random, 5))
    FILL_MANY(description, descriptions, random_below(random, 5))
    FILL_MANY(lock, locks, random_below(random, 4))
    FILL_MANY(tracked, tracked, random_below(random, 3))
    FILL_MANY(sysv, sysv, random_below(random, 3))
    FILL_MANY(process, processes, processes)
    make_consistent(random, context);
}

void context_small(struct context *context)
{
    *context = (struct context){0};
    struct file *file = ADD(context->files, context->n_files);
    struct description *description = ADD(context->descriptions, context->n_descriptions);
    struct lock *lock = ADD(context->locks, context->n_locks);
    ADD(context->tracked, context->n_tracked);
    struct sysv *sysv = ADD(context->sysv, context->n_sysv);
    struct process *process = ADD(context->processes, context->n_processes);
    struct map *map = ADD(process->maps, process->n_maps);
    struct thread *thread = ADD(process->threads, process->n_threads);
    struct descriptor *descriptor = ADD(process->descriptors, process->n_descriptors);

    context->scope.host = keep(strdup("node1"));
    *file = (struct file){
        .id = 1, .kind = FILE_DELETED, .content = FILE_CONTENT_SAVED, .size = 10, .path = keep(strdup("/a"))};
    *description = (struct description){.id = 1, .kind = DESCRIPTION_FILE, .file = 1};
    *sysv = (struct sysv){.kind = SYSV_SEMAPHORES, .id = 5, .size = 1, .state = {keep(calloc(1, 2)), 2}};
    *lock = (struct lock){.kind = LOCK_FLOCK, .description = 1};
    process->pid = 2;
    process->ppid = 1;
    process->state = PROCESS_RUNNING;
    *map = (struct map){.start = 0x10000, .end = 0x11000, .kind = MAP_KIND_ANON};
    thread->tid = 2;
    *descriptor = (struct descriptor){.fd = 3, .description = 1};
}

/* ---- writing ---- */

#define WRITE_RECORD(record, value, type, owner)                                        \
    {                                                                                   \
        struct buffer payload = {0};                                                    \
        record_encode_##record(&payload, value);                                        \
        MUST(!context_writer_section(writer, type, (uint32_t)(owner), &payload, &err)); \
        buffer_free(&payload);                                                          \
    }

static void write_common(const struct context *context, struct context_writer *writer)
{
    struct caesura_error err;

    WRITE_RECORD(scope, &context->scope, SECTION_SCOPE, 0)
    for (uint32_t i = 0; i < context->n_files; i++)
        WRITE_RECORD(file, &context->files[i], SECTION_FILE, i + 1)
    for (uint32_t i = 0; i < context->n_descriptions; i++)
        WRITE_RECORD(description, &context->descriptions[i], SECTION_DESCRIPTION, i + 1)
    for (uint32_t i = 0; i < context->n_locks; i++)
        WRITE_RECORD(lock, &context->locks[i], SECTION_LOCK, 0)
    for (uint32_t i = 0; i < context->n_tracked; i++)
        WRITE_RECORD(tracked, &context->tracked[i], SECTION_TRACKED, 0)
    for (uint32_t i = 0; i < context->n_sysv; i++)
        WRITE_RECORD(sysv, &context->sysv[i], SECTION_SYSV, 0)
}

static void write_extents(struct context_writer *writer, uint32_t type, uint32_t owner,
                          const struct format_extent *extents, uint32_t count)
{
    struct caesura_error err;
    size_t size = 0;
    uint8_t *data = keep(context_writer_data(writer, &err));

    for (uint32_t i = 0; i < count; i++)
        size += extents[i].size;
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(owner + i * 7 + (i >> 8));
    MUST(!context_writer_commit(writer, type, owner, extents, count, size, &err));
}

static void write_memory(const struct process *process, struct context_writer *writer)
{
    struct format_extent extents[FORMAT_FRAME_EXTENTS];
    uint32_t count = 0;

    for (uint32_t i = 0; i < process->n_maps; i++)
        extents[count++] = (struct format_extent){process->maps[i].start, ARCH_PAGE_SIZE};
    if (count)
        write_extents(writer, SECTION_PAGES, (uint32_t)process->pid, extents, count);
}

static void write_contents(const struct file *file, struct context_writer *writer)
{
    for (uint64_t at = 0; file->content == FILE_CONTENT_SAVED && at < file->size; at += FORMAT_FRAME_BYTES) {
        uint64_t left = file->size - at;
        struct format_extent extent = {at, left < FORMAT_FRAME_BYTES ? left : FORMAT_FRAME_BYTES};
        write_extents(writer, SECTION_CONTENT, file->id, &extent, 1);
    }
}

static void write_all(const struct context *context, struct image *images, size_t count, bool data_too)
{
    static const uint8_t set_id[16] = "an id of 16 byte";
    struct context_writer writers[MOST_FILES];
    struct caesura_error err;

    MUST(count <= MOST_FILES && (count == 1 || count == context->n_processes));
    for (size_t i = 0; i < count; i++) {
        int fd = memfd_create("context", MFD_CLOEXEC);
        MUST(fd >= 0 && !context_writer_start(&writers[i], fd, set_id, (uint32_t)i, (uint32_t)count, &err));
    }
    write_common(context, &writers[0]);
    for (uint32_t i = 0; i < context->n_processes; i++) {
        const struct process *process = &context->processes[i];
        struct context_writer *writer = &writers[count == 1 ? 0 : i];
        WRITE_RECORD(process, process, SECTION_PROCESS, process->pid)
        if (data_too)
            write_memory(process, writer);
    }
    for (uint32_t i = 0; i < context->n_files && data_too; i++)
        write_contents(&context->files[i], &writers[0]);
    for (size_t i = 0; i < count; i++) {
        MUST(!context_writer_end(&writers[i], &err));
        images[i] = image_of(writers[i].fd);
        MUST(images[i].size == writers[i].offset);
        close(writers[i].fd);
        context_writer_free(&writers[i]);
    }
}

void images_write(const struct context *context, struct image *images, size_t count)
{
    write_all(context, images, count, true);
}

struct image image_of_records(const struct context *context)
{
    struct image image;
    write_all(context, &image, 1, false);
    return image;
}

struct image image_of(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    struct image image = {keep(malloc((size_t)size + 1)), (size_t)size};

    MUST(size >= 0 && pread(fd, image.bytes, image.size, 0) == size);
    return image;
}

int image_open(const struct image *image)
{
    int fd = memfd_create("context", MFD_CLOEXEC);

    MUST(fd >= 0 && write(fd, image->bytes, image->size) == (ssize_t)image->size);
    return fd;
}

void image_free(struct image *image)
{
    free(image->bytes);
    *image = (struct image){0};
}

#define ADD_RECORDS(record, list)                    \
    buffer_u32(&all, context->n_##list);             \
    for (uint32_t i = 0; i < context->n_##list; i++) \
        record_encode_##record(&all, &context->list[i]);

struct image records_of(const struct context *context)
{
    struct buffer all = {0};

    record_encode_scope(&all, &context->scope);
    ADD_RECORDS(file, files)
    ADD_RECORDS(description, descriptions)
    ADD_RECORDS(lock, locks)
    ADD_RECORDS(tracked, tracked)
    ADD_RECORDS(sysv, sysv)
    ADD_RECORDS(process, processes)
    MUST(!all.failed);
    return (struct image){all.data, all.size};
}

/* ---- sections ---- */

void parts_take(const struct image *image, struct file_parts *parts)
{
    size_t at = sizeof parts->header;

    *parts = (struct file_parts){0};
    MUST(image->size >= at);
    memcpy(&parts->header, image->bytes, at);
    while (at < image->size) {
        struct section section = {0};
        MUST(image->size - at >= sizeof section.header);
        memcpy(&section.header, image->bytes + at, sizeof section.header);
        at += sizeof section.header;
        MUST(section.header.length <= image->size - at);
        section.size = section.header.length;
        section.payload = image->bytes + at;
        at += section.size;
        parts_insert(parts, parts->count, &section);
    }
}

void section_free(struct section *section)
{
    free(section->payload);
    *section = (struct section){0};
}

void parts_free(struct file_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        section_free(&parts->sections[i]);
    free(parts->sections);
    *parts = (struct file_parts){0};
}

struct section *parts_find(struct file_parts *parts, uint32_t type)
{
    for (size_t i = 0; i < parts->count; i++)
        if (parts->sections[i].header.type == type)
            return &parts->sections[i];
    fprintf(stderr, "lib_context: no section of type %u\n", type);
    abort();
}

void parts_insert(struct file_parts *parts, size_t index, const struct section *section)
{
    struct section copy = *section;

    copy.payload = keep(malloc(section->size + 1));
    if (section->size)
        memcpy(copy.payload, section->payload, section->size);
    parts->sections = keep(realloc(parts->sections, (parts->count + 1) * sizeof *parts->sections));
    memmove(parts->sections + index + 1, parts->sections + index, (parts->count - index) * sizeof *parts->sections);
    parts->sections[index] = copy;
    parts->count++;
}

void parts_remove(struct file_parts *parts, size_t index)
{
    MUST(index < parts->count);
    section_free(&parts->sections[index]);
    parts->count--;
    memmove(parts->sections + index, parts->sections + index + 1, (parts->count - index) * sizeof *parts->sections);
}

void section_splice(struct section *section, size_t at, size_t old_size, const void *bytes, size_t size)
{
    MUST(at <= section->size && old_size <= section->size - at);
    uint8_t *payload = keep(malloc(section->size - old_size + size + 1));

    memcpy(payload, section->payload, at);
    if (size)
        memcpy(payload + at, bytes, size);
    memcpy(payload + at + size, section->payload + at + old_size, section->size - at - old_size);
    free(section->payload);
    section->payload = payload;
    section->size = section->size - old_size + size;
    section->header.length = section->size;
}

static void set_checksums(struct file_parts *parts, unsigned flags)
{
    uint32_t headers = 0;

    parts->header.checksum = crc32c(0, &parts->header, offsetof(struct format_header, checksum));
    for (size_t i = 0; i < parts->count; i++) {
        struct section *section = &parts->sections[i];
        if (section->header.type == SECTION_END && section->size == sizeof(struct format_end) &&
            !(flags & JOIN_KEEPS_END)) {
            struct format_end end = {.sections = i, .headers_checksum = headers};
            memcpy(section->payload, &end, sizeof end);
        }
        section->header.checksum = crc32c(0, section->payload, section->size);
        section->header.header_checksum = crc32c(0, &section->header, offsetof(struct format_section, header_checksum));
        headers = crc32c(headers, &section->header, FORMAT_SECTION_SUMMED);
    }
}

struct image parts_join(struct file_parts *parts, unsigned flags)
{
    struct buffer all = {0};

    if (!(flags & JOIN_AS_IT_IS))
        set_checksums(parts, flags);
    buffer_bytes(&all, &parts->header, sizeof parts->header);
    for (size_t i = 0; i < parts->count; i++) {
        buffer_bytes(&all, &parts->sections[i].header, sizeof parts->sections[i].header);
        buffer_bytes(&all, parts->sections[i].payload, parts->sections[i].size);
    }
    MUST(!all.failed);
    return (struct image){all.data, all.size};
}

/* ---- asking ---- */

static void open_all(const struct image *images, size_t count, int32_t *fds)
{
    MUST(count <= MOST_FILES);
    for (size_t i = 0; i < count; i++)
        fds[i] = image_open(&images[i]);
}

static void close_all(const int32_t *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

int images_verify(const struct image *images, size_t count, struct caesura_error *err)
{
    int32_t fds[MOST_FILES] = {0};

    open_all(images, count, fds);
    int rc = caesura_context_verify(fds, count, err);
    close_all(fds, count);
    return rc;
}

int images_describe(const struct image *images, size_t count, char **json, struct caesura_error *err)
{
    int32_t fds[MOST_FILES] = {0};

    open_all(images, count, fds);
    int rc = caesura_context_describe(fds, count, json, err);
    close_all(fds, count);
    return rc;
}

/* ---- JSON ---- */

static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20)
            return NULL;
        if (*at != '\\')
            continue;
        at++;
        if (*at == 'u') {
            for (int i = 0; i < 4; i++)
                if (!*++at || !strchr("0123456789abcdefABCDEF", *at))
                    return NULL;
        } else if (!*at || !strchr("\"\\/bfnrt", *at)) {
            return NULL;
        }
    }
    return at + 1;
}

static const char *skip_number(const char *at)
{
    at += *at == '-';
    size_t digits = strspn(at, "0123456789");
    return digits && (digits == 1 || *at != '0') ? at + digits : NULL; /* we never write fractions */
}

/* After one value; NULL if it is none. No blanks: we never write any. */
static const char *skip_value(const char *at, int depth)
{
    bool is_object = *at == '{';
    char end = is_object ? '}' : ']';

    if (*at == '"')
        return skip_string(at);
    if (*at != '{' && *at != '[')
        return skip_number(at);
    if (depth > 16)
        return NULL;
    if (*++at == end)
        return at + 1;
    for (;; at++) {
        if (is_object && (*at != '"' || !(at = skip_string(at)) || *at++ != ':'))
            return NULL;
        at = skip_value(at, depth + 1);
        if (!at || (*at != ',' && *at != end))
            return NULL;
        if (*at == end)
            return at + 1;
    }
}

bool json_is_valid(const char *text)
{
    const char *end = skip_value(text, 0);
    return end && !*end;
}
