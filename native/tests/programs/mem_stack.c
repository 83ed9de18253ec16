/*
 * mem_stack.c - the main stack, a grows-down map, the gap that keeps it from its neighbour, a thread's guard page.
 * Cases: main growsdown gap guard
 */
#include <pthread.h>
#include <setjmp.h>

#include "victim.h"

static sigjmp_buf back;

static void on_fault(int signo)
{
    siglongjmp(back, signo);
}

/* Signal that touching an address raises, or 0. */
static int touch(volatile unsigned char *address)
{
    int signo = sigsetjmp(back, 1);
    if (signo == 0)
        *address = 1;
    return signo;
}

static void catch_faults(void)
{
    static unsigned char stack[65536];
    need(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL) == 0);
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    need(sigaction(SIGSEGV, &action, NULL) == 0);
}

__attribute__((noinline)) static unsigned long deep(int levels)
{
    volatile unsigned char frame[4096];
    frame[levels % 4096] = (unsigned char)levels;
    return levels ? deep(levels - 1) + frame[levels % 4096] : frame[0];
}

__attribute__((noinline)) static void main_stack(void)
{
    unsigned char on_stack[1 << 20];
    fill(on_stack, sizeof on_stack, 3);
    unsigned long sum = deep(300);
    ready();
    wait_go();
    check_pattern(on_stack, sizeof on_stack, 3);
    check(deep(300) == sum, "the stack counts wrongly");
    check(deep(1200) > 0, "the stack does not grow");
    check_pattern(on_stack, sizeof on_stack, 3);
}

/* A grows-down map of two pages with room of 64 MiB below it; *floor is where the room begins. */
static unsigned char *grows_down(unsigned char **floor)
{
    size_t room = 64 << 20;
    unsigned char *area = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(area != MAP_FAILED);
    need(munmap(area, room - PAGE) == 0);
    unsigned char *top = area + room - PAGE;
    unsigned char *stack = mmap(top - 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN, -1, 0);
    need(stack == top - 2 * PAGE);
    *floor = area;
    return top;
}

static void growing(void)
{
    unsigned char *floor, *top = grows_down(&floor);
    fill(top - 300000, 300000, 5);
    char flags[512], now[512];
    vm_flags(top - 1, flags, sizeof flags);
    need(strstr(flags, " gd"));
    ready();
    wait_go();
    check_pattern(top - 300000, 300000, 5);
    vm_flags(top - 1, now, sizeof now);
    same_text("VmFlags", now, flags);
    same("fault below", touch(top - 700000), 0);
    fill(top - 4000000, 3000000, 6);
    check_pattern(top - 4000000, 3000000, 6);
    check_pattern(top - 300000, 300000, 5);
}

static void gap(void)
{
    unsigned char *floor, *top = grows_down(&floor);
    unsigned char *neighbour =
        mmap(top - (8 << 20), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    need(neighbour == top - (8 << 20));
    fill(neighbour, PAGE, 1);
    fill(top - 100000, 100000, 2);
    /* The kernel keeps 256 pages of distance by default. */
    need(touch(neighbour + 16 * PAGE) == SIGSEGV);
    ready();
    wait_go();
    same("fault in the gap", touch(neighbour + 16 * PAGE), SIGSEGV);
    same("fault above the gap", touch(neighbour + (4 << 20)), 0);
    check_pattern(neighbour, PAGE, 1);
    check_pattern(top - 100000, 100000, 2);
}

static unsigned char *guard_page;

static void *guarded(void *unused)
{
    pthread_attr_t attr;
    void *stack;
    size_t size, guard_size;
    unsigned char here[20000];
    fill(here, sizeof here, 8);
    catch_faults();
    need(pthread_getattr_np(pthread_self(), &attr) == 0);
    need(pthread_attr_getstack(&attr, &stack, &size) == 0);
    need(pthread_attr_getguardsize(&attr, &guard_size) == 0 && guard_size >= PAGE);
    guard_page = (unsigned char *)stack - guard_size;
    if (touch(guard_page + guard_size - 1) != SIGSEGV)
        guard_page = stack;
    need(touch(guard_page) == SIGSEGV);
    ready();
    wait_go();
    same("fault in the guard", touch(guard_page), SIGSEGV);
    check_pattern(here, sizeof here, 8);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    catch_faults();
    if (is_case(argc, argv, "main"))
        main_stack();
    else if (is_case(argc, argv, "growsdown"))
        growing();
    else if (is_case(argc, argv, "gap"))
        gap();
    else if (pthread_create(&thread, NULL, guarded, NULL) == 0)
        pthread_join(thread, NULL);
    finish();
}
