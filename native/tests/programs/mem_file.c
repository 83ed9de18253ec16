/*
 * mem_file.c - maps of files: private with clean and dirty pages, shared, of a deleted file, past the end of the file.
 * Cases: private shared deleted_private deleted_shared tail readonly
 */
#include <setjmp.h>

#include "victim.h"

enum { PAGES = 32, SIZE = PAGES * PAGE };

static sigjmp_buf back;

static void on_fault(int signo)
{
    siglongjmp(back, signo);
}

static int touch(volatile unsigned char *address)
{
    int signo = sigsetjmp(back, 1);
    if (signo == 0)
        *address = 1;
    return signo;
}

static unsigned char *map_file(size_t file_size, int prot, int flags)
{
    static unsigned char contents[SIZE];
    fill(contents, sizeof contents, 1);
    write_file("data", contents, file_size);
    int fd = open("data", O_RDWR);
    need(fd >= 0);
    unsigned char *map = mmap(NULL, SIZE - PAGE, prot, flags, fd, PAGE);
    need(map != MAP_FAILED);
    close(fd);
    return map;
}

/* Page of the map, which starts at page 1 of the file. */
static void check_original(const unsigned char *map, int page)
{
    static unsigned char contents[SIZE];
    fill(contents, sizeof contents, 1);
    check(memcmp(map + page * PAGE, contents + (page + 1) * PAGE, PAGE) == 0, "page %d is not the file's", page);
}

static unsigned char file_byte(size_t at)
{
    unsigned char byte = 0;
    int fd = open("data", O_RDONLY);
    check(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1, "data: %s", strerror(errno));
    close(fd);
    return byte;
}

static void run(unsigned char *map, bool shared, bool deleted)
{
    char line[512], now[512];
    for (int page = 0; page < PAGES - 1; page += 2)
        fill(map + page * PAGE, PAGE, (uint64_t)(100 + page));
    if (deleted)
        need(unlink("data") == 0);
    need(map_line(map, NULL, line, sizeof line));
    ready();
    wait_go();
    check(map_line(map, NULL, now, sizeof now), "the map is gone");
    /*
     * The inode of a deleted file that was made anew is another one. An ordinary user cannot get at the rest of the file,
     * and gets anonymous memory with the same contents for a private map.
     */
    if (deleted && !shared && geteuid() != 0)
        check(strncmp(now, line, 12) == 0, "map is \"%s\", was \"%s\"", now, line);
    else if (deleted)
        check(strncmp(now, line, 40) == 0 && strstr(now, "(deleted)"), "map is \"%s\", was \"%s\"", now, line);
    else
        same_text("map", now, line);
    for (int page = 0; page < PAGES - 1; page++) {
        if (page % 2 == 0)
            check_pattern(map + page * PAGE, PAGE, (uint64_t)(100 + page));
        else
            check_original(map, page);
    }
    if (!deleted && shared)
        check(file_byte(PAGE) == pattern_byte(100, 0), "the file lacks what was written through the map");
    map[PAGE] = (unsigned char)~map[PAGE];
    if (!deleted)
        check((file_byte(2 * PAGE) == map[PAGE]) == shared, "a write through the map %s the file",
              shared ? "does not reach" : "reaches");
}

/* Half of the last page lies behind the end of the file, the pages after it entirely. */
static void tail(void)
{
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    unsigned char *map = map_file(20 * PAGE + 2048, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    char line[512];
    need(sigaction(SIGBUS, &action, NULL) == 0);
    map[100] = 42;
    need(touch(map + 25 * PAGE) == SIGBUS);
    ready();
    wait_go();
    same("a dirty byte", map[100], 42);
    check_original(map, 18);
    check(all_zero(map + 19 * PAGE + 2048, 2048), "the rest of the last page is not zero");
    same("fault past the end", touch(map + 25 * PAGE), SIGBUS);
    /* Only read, so not rolled back: if a later run has changed it, the map is of a copy of what it was. */
    need(map_line(map, NULL, line, sizeof line));
    if (strstr(line, "(deleted)"))
        return;
    same("size of the file", lseek(open("data", O_RDONLY), 0, SEEK_END), 20 * PAGE + 2048);
    check(truncate("data", SIZE) == 0, "truncate: %s", strerror(errno));
    same("fault after the file grew", touch(map + 25 * PAGE), 0);
}

static void readonly(void)
{
    unsigned char *map = map_file(SIZE, PROT_READ, MAP_SHARED);
    char line[512], now[512];
    need(map_line(map, NULL, line, sizeof line));
    ready();
    wait_go();
    map_line(map, NULL, now, sizeof now);
    same_text("map", now, line);
    for (int page = 0; page < PAGES - 1; page++)
        check_original(map, page);
    check(mprotect(map, PAGE, PROT_READ | PROT_WRITE) == 0, "the map may not become writable: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    int prot = PROT_READ | PROT_WRITE;
    bool private = is_case(argc, argv, "private") || is_case(argc, argv, "deleted_private");
    bool deleted = argc > 1 && strncmp(argv[1], "deleted", 7) == 0;
    if (is_case(argc, argv, "tail"))
        tail();
    else if (is_case(argc, argv, "readonly"))
        readonly();
    else
        run(map_file(SIZE, prot, private ? MAP_PRIVATE : MAP_SHARED), !private, deleted);
    finish();
}
