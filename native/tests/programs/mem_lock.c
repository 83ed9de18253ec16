/*
 * mem_lock.c - locked memory, on fault too, and mlockall() that holds for maps to come.
 * Cases: mlock onfault all
 */
#include "victim.h"

enum { SIZE = 16 * PAGE };

int main(int argc, char **argv)
{
    unsigned char *map = map_memory(SIZE, MAP_PRIVATE);
    unsigned char *shared = map_memory(SIZE, MAP_SHARED);
    char flags[512], now[512], line[64], line_now[64];
    fill(map, PAGE, 1);
    fill(shared, PAGE, 2);
    if (is_case(argc, argv, "mlock"))
        need(mlock(map, SIZE) == 0 && mlock(shared, SIZE) == 0);
    else if (is_case(argc, argv, "onfault"))
        need(mlock2(map, SIZE, MLOCK_ONFAULT) == 0 && mlock2(shared, SIZE, MLOCK_ONFAULT) == 0);
    else if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
        skip("mlockall: %s", strerror(errno));
    vm_flags(map, flags, sizeof flags);
    need(strstr(flags, " lo") || strstr(flags, " lf"));
    need(proc_value("/proc/self/status", "VmLck", line, sizeof line));

    ready();
    wait_go();

    check_pattern(map, PAGE, 1);
    check_pattern(shared, PAGE, 2);
    vm_flags(map, now, sizeof now);
    same_text("VmFlags", now, flags);
    vm_flags(shared, now, sizeof now);
    check(strstr(now, " lo") || strstr(now, " lf"), "shared memory is not locked: %s", now);
    proc_value("/proc/self/status", "VmLck", line_now, sizeof line_now);
    same_text("VmLck", line_now, line);
    if (is_case(argc, argv, "onfault")) {
        unsigned char resident[16] = {0};
        check(mincore(map, SIZE, resident) == 0 && !(resident[9] & 1),
              "an untouched page of an on-fault map is resident");
    }
    if (is_case(argc, argv, "all")) {
        vm_flags(map_memory(SIZE, MAP_PRIVATE), now, sizeof now);
        check(strstr(now, " lo"), "a new map is not locked: %s", now);
    }
    finish();
}
