#include "vdso.h"

#include <elf.h>
#include <string.h>
#include <sys/syscall.h>

#include "crc32c.h"

#ifndef SYS_getrandom
#define SYS_getrandom 318
#endif

static const struct {
    const char *name;
    uint32_t system_call;
} functions[] = {
    {"clock_gettime", SYS_clock_gettime},
    {"gettimeofday", SYS_gettimeofday},
    {"clock_getres", SYS_clock_getres},
    {"time", SYS_time},
    {"getcpu", SYS_getcpu},
    {"getrandom", SYS_getrandom},
};

struct symbols {
    const Elf64_Sym *table;
    const char *names;
    uint32_t count;
};

/* Number of symbols by the GNU hash table: one more than the highest that a chain leads to. */
static uint32_t count_by_gnu_hash(const uint32_t *hash)
{
    uint32_t buckets = hash[0], first = hash[1], filter_words = hash[2], last = 0;
    const uint32_t *bucket = hash + 4 + 2 * (size_t)filter_words;
    const uint32_t *chain = bucket + buckets;

    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    if (last < first)
        return 0;
    while (!(chain[last - first] & 1))
        last++;
    return last + 1;
}

static void find_symbols(const Elf64_Ehdr *elf, struct symbols *symbols)
{
    const char *base = (const char *)elf;
    const Elf64_Phdr *header = (const void *)(base + elf->e_phoff);

    for (int i = 0; i < elf->e_phnum; i++) {
        if (header[i].p_type != PT_DYNAMIC)
            continue;
        for (const Elf64_Dyn *entry = (const void *)(base + header[i].p_offset); entry->d_tag != DT_NULL; entry++) {
            const void *at = base + entry->d_un.d_ptr;

            if (entry->d_tag == DT_SYMTAB)
                symbols->table = at;
            else if (entry->d_tag == DT_STRTAB)
                symbols->names = at;
            else if (entry->d_tag == DT_HASH)
                symbols->count = ((const uint32_t *)at)[1];
            else if (entry->d_tag == DT_GNU_HASH && symbols->count == 0)
                symbols->count = count_by_gnu_hash(at);
        }
    }
}

/* Returns the number of the system call that does the same as the function, or 0. */
static uint32_t find_system_call(const char *name)
{
    static const char prefix[] = "__vdso_";

    if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
        name += sizeof(prefix) - 1;
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (strcmp(name, functions[i].name) == 0)
            return functions[i].system_call;
    }
    return 0;
}

static void list_entries(struct ckpt_vdso_record *record)
{
    struct symbols symbols = {0};

    find_symbols((const void *)record->vdso.code, &symbols);
    if (!symbols.table || !symbols.names)
        return;
    for (uint32_t i = 1; i < symbols.count && record->vdso.entries < VDSO_ENTRIES_MAX; i++) {
        const Elf64_Sym *symbol = &symbols.table[i];
        uint32_t system_call = symbol->st_value ? find_system_call(symbols.names + symbol->st_name) : 0;

        if (system_call && symbol->st_value < record->vdso.bytes)
            record->entries[record->vdso.entries++] = (struct ckpt_vdso_entry){symbol->st_value, system_call};
    }
}

void ckpt_vdso_get(struct ckpt_text *maps, struct ckpt_vdso_record *record)
{
    char *cursor = maps->data;
    struct ckpt_mapping mapping;

    *record = (struct ckpt_vdso_record){0};
    while (ckpt_mapping_next(&cursor, &mapping)) {
        if (strncmp(mapping.path, "[vvar", 5) == 0 && record->vdso.start == 0)
            record->vdso.start = mapping.start;
        if (strcmp(mapping.path, "[vdso]") == 0) {
            record->vdso.code = mapping.start;
            record->vdso.bytes = mapping.end - mapping.start;
        }
    }
    if (record->vdso.code == 0)
        return;
    if (record->vdso.start == 0)
        record->vdso.start = record->vdso.code;
    record->vdso.crc = ckpt_crc32c(0, (const void *)record->vdso.code, record->vdso.bytes);
    list_entries(record);
}

void ckpt_vdso_write_stub(const struct ckpt_vdso_record *record, unsigned char *stub)
{
    for (uint32_t i = 0; i < record->vdso.entries; i++) {
        /* mov $number, %eax; syscall; ret */
        unsigned char code[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3};

        memcpy(code + 1, &record->entries[i].system_call, 4);
        if (record->entries[i].offset <= record->vdso.bytes - sizeof(code))
            memcpy(stub + record->entries[i].offset, code, sizeof(code));
    }
}
