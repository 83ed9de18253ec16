/*
 * mem_huge.c - maps of huge pages, private, shared with a child, of a memory file; also of a page size
 * that is not the default.
 * Cases: private shared memfd gigantic gigantic_shared
 */
#include <linux/memfd.h>
#include <linux/mman.h>

#include "victim.h"

enum { SIZE = 2 << 20, GIGANTIC = 30 << MAP_HUGE_SHIFT };

int main(int argc, char **argv)
{
    bool gigantic = argc > 1 && !strncmp(argv[1], "gigantic", 8);
    bool shared = is_case(argc, argv, "shared") || is_case(argc, argv, "gigantic_shared"),
         memfd = is_case(argc, argv, "memfd");
    int fd = -1;
    if (memfd && ((fd = (int)syscall(SYS_memfd_create, "huge", MFD_HUGETLB)) < 0 || ftruncate(fd, SIZE) < 0))
        skip("memfd_create: %s", strerror(errno));
    int flags = memfd ? MAP_SHARED : (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_HUGETLB;
    if (gigantic)
        flags |= GIGANTIC;
    unsigned char *map = mmap(NULL, gigantic ? 1ul << 30 : SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (map == MAP_FAILED)
        skip("no huge pages on this host: %s", strerror(errno));
    char vm[512], now[512], page_size[512];
    fill(map, SIZE, 1);
    vm_flags(map, vm, sizeof vm);
    need(strstr(vm, " ht"));
    need(map_line(map, "KernelPageSize:", page_size, sizeof page_size));
    pid_t child = 0;
    if (shared && (child = fork_child()) == 0) {
        mark("child");
        wait_go();
        check_pattern(map, SIZE, 1);
        map[5] = 55;
        finish();
    }
    if (child)
        await_mark("child");
    ready();
    wait_go();
    if (child) {
        reap(child);
        same("byte of the child", map[5], 55);
        map[5] = pattern_byte(1, 5);
    }
    check_pattern(map, SIZE, 1);
    vm_flags(map, now, sizeof now);
    same_text("VmFlags", now, vm);
    map_line(map, "KernelPageSize:", now, sizeof now);
    same_text("page size", now, page_size);
    finish();
}
