#include "restore/vdso_image.h"

#include <elf.h>
#include <string.h>

#include "core/arch_x86_64.h"

#define HEADERS_MAX 32
#define SYMBOLS_MAX 1024
#define NAME_MAX_BYTES 64

/* Where the tables are, as offsets in the image. */
struct tables {
    uint64_t base; /* what addresses of the file begin at; not 0 in those of very old kernels */
    uint64_t symbols, names, names_size;
    uint32_t count;
};

static bool get(const struct vdso_image *image, uint64_t at, void *to, size_t size)
{
    if (at > image->size || image->size - at < size)
        return false;
    memcpy(to, image->bytes + at, size);
    return true;
}

/* Number of symbols by the GNU hash table: the end of the chain that begins last. */
static bool count_by_gnu_hash(const struct vdso_image *image, uint64_t at, uint32_t *count)
{
    uint32_t head[4], last = 0, bucket, word; /* buckets, first symbol, words of the filter, shift */

    if (!get(image, at, head, sizeof head) || head[0] > SYMBOLS_MAX || head[2] > SYMBOLS_MAX)
        return false;
    uint64_t buckets = at + sizeof head + head[2] * sizeof(uint64_t), chains = buckets + head[0] * sizeof bucket;
    for (uint32_t i = 0; i < head[0]; i++) {
        if (!get(image, buckets + i * sizeof bucket, &bucket, sizeof bucket))
            return false;
        last = bucket > last ? bucket : last;
    }
    for (; last >= head[1] && last < SYMBOLS_MAX; last++) {
        if (!get(image, chains + (uint64_t)(last - head[1]) * sizeof word, &word, sizeof word))
            return false;
        if (word & 1) {
            *count = last + 1;
            return true;
        }
    }
    return false;
}

static bool read_dynamic(const struct vdso_image *image, uint64_t at, struct tables *tables)
{
    uint64_t hash = 0, gnu_hash = 0;
    uint32_t words[2]; /* buckets, chains: one for each symbol */

    for (unsigned i = 0; i < 2 * HEADERS_MAX; i++) {
        Elf64_Dyn entry;
        if (!get(image, at + i * sizeof entry, &entry, sizeof entry))
            return false;
        if (entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_STRSZ)
            tables->names_size = entry.d_un.d_val;
        uint64_t *place = entry.d_tag == DT_SYMTAB     ? &tables->symbols
                          : entry.d_tag == DT_STRTAB   ? &tables->names
                          : entry.d_tag == DT_HASH     ? &hash
                          : entry.d_tag == DT_GNU_HASH ? &gnu_hash
                                                       : NULL;
        if (place)
            *place = entry.d_un.d_ptr - tables->base;
    }
    if (!tables->symbols || !tables->names)
        return false;
    if (!hash)
        return gnu_hash && count_by_gnu_hash(image, gnu_hash, &tables->count);
    if (!get(image, hash, words, sizeof words) || words[1] > SYMBOLS_MAX)
        return false;
    tables->count = words[1];
    return true;
}

static bool read_tables(const struct vdso_image *image, struct tables *tables)
{
    Elf64_Ehdr header;
    Elf64_Phdr part;
    uint64_t dynamic = 0;

    *tables = (struct tables){0};
    if (!get(image, 0, &header, sizeof header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != ARCH_ELF_MACHINE ||
        header.e_phentsize != sizeof part || header.e_phnum > HEADERS_MAX)
        return false;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        if (!get(image, header.e_phoff + i * sizeof part, &part, sizeof part))
            return false;
        if (part.p_type == PT_LOAD)
            tables->base = part.p_vaddr - part.p_offset;
        if (part.p_type == PT_DYNAMIC)
            dynamic = part.p_offset;
    }
    return dynamic && read_dynamic(image, dynamic, tables);
}

/* Function number i: its name and where it begins in the image. False if that is no function. */
static bool get_function(const struct vdso_image *image, const struct tables *tables, uint32_t i,
                         char name[NAME_MAX_BYTES], uint64_t *at)
{
    Elf64_Sym symbol;

    if (!get(image, tables->symbols + i * sizeof symbol, &symbol, sizeof symbol) ||
        ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF ||
        symbol.st_name >= tables->names_size)
        return false;
    *at = symbol.st_value - tables->base;
    if (*at == 0 || *at >= image->size)
        return false;
    for (size_t k = 0; k < NAME_MAX_BYTES; k++) {
        if (!get(image, tables->names + symbol.st_name + k, name + k, 1))
            return false;
        if (!name[k])
            return true;
    }
    return false;
}

/* Where the function of that name begins, as an address; 0: there is none. */
static uint64_t find_function(const struct vdso_image *image, const struct tables *tables, const char *wanted)
{
    char name[NAME_MAX_BYTES];
    uint64_t at;

    for (uint32_t i = 1; i < tables->count; i++)
        if (get_function(image, tables, i, name, &at) && !strcmp(name, wanted))
            return image->address + at;
    return 0;
}

/* Bytes from there to the next function, or to the end. */
static uint64_t room_at(const struct vdso_image *image, const struct tables *tables, uint64_t at)
{
    char name[NAME_MAX_BYTES];
    uint64_t end = image->size, other;

    for (uint32_t i = 1; i < tables->count; i++)
        if (get_function(image, tables, i, name, &other) && other > at && other < end)
            end = other;
    return end - at;
}

bool vdso_image_redirect(struct vdso_image *old, const struct vdso_image *now, const char **why)
{
    struct tables old_tables, now_tables;
    char name[NAME_MAX_BYTES];
    uint8_t code[ARCH_REDIRECT_MAX];
    uint64_t at;
    uint32_t redirected = 0;

    *why = "cannot be understood";
    if (!read_tables(old, &old_tables) || !read_tables(now, &now_tables))
        return false;
    for (uint32_t i = 1; i < old_tables.count; i++) {
        if (!get_function(old, &old_tables, i, name, &at))
            continue;
        size_t size = arch_vdso_redirect(name, find_function(now, &now_tables, name), code);
        if (size > room_at(old, &old_tables, at)) {
            *why = "has functions too short to be redirected";
            return false;
        }
        memcpy(old->bytes + at, code, size);
        redirected++;
    }
    *why = "has no functions";
    return redirected > 0;
}

bool vdso_image_is_entry(const struct vdso_image *image, uint64_t address)
{
    struct tables tables;
    char name[NAME_MAX_BYTES];
    uint64_t at;

    if (!read_tables(image, &tables))
        return false;
    for (uint32_t i = 1; i < tables.count; i++)
        if (get_function(image, &tables, i, name, &at) && image->address + at == address)
            return true;
    return false;
}
