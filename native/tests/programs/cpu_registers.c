/*
 * cpu_registers.c - the general registers and flags of a thread that spins, and of one that is in a system call.
 * Cases: general flags blocked
 */
#include <linux/futex.h>
#include <pthread.h>

#include "victim.h"

volatile uint64_t reg_stop __attribute__((visibility("hidden")));
uint64_t reg_in[16] __attribute__((visibility("hidden"))), reg_out[16] __attribute__((visibility("hidden")));
uint64_t reg_flags_in __attribute__((visibility("hidden"))), reg_flags_out __attribute__((visibility("hidden")));
uint64_t reg_stack __attribute__((visibility("hidden")));

void spin_general(void);
void spin_flags(void);
void block_in_futex(void);

/* Slots 0 to 14: rax rbx rcx rdx rsi rdi rbp r8 ... r15. The stack pointer is compared by itself. */
__asm__(".macro each_register op, table\n"
        "  \\op \\table, 0, rax\n \\op \\table, 1, rbx\n \\op \\table, 2, rcx\n \\op \\table, 3, rdx\n"
        "  \\op \\table, 4, rsi\n \\op \\table, 5, rdi\n \\op \\table, 6, rbp\n \\op \\table, 7, r8\n"
        "  \\op \\table, 8, r9\n \\op \\table, 9, r10\n \\op \\table, 10, r11\n \\op \\table, 11, r12\n"
        "  \\op \\table, 12, r13\n \\op \\table, 13, r14\n \\op \\table, 14, r15\n"
        ".endm\n"
        ".macro load table, slot, reg\n  movq \\table+8*\\slot(%rip), %\\reg\n.endm\n"
        ".macro store table, slot, reg\n  movq %\\reg, \\table+8*\\slot(%rip)\n.endm\n"
        ".macro enter\n  push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "  movq %rsp, reg_stack(%rip)\n.endm\n"
        ".macro leave_again\n  subq %rsp, reg_stack(%rip)\n"
        "  pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n.endm\n"

        ".globl spin_general\nspin_general:\n"
        "  enter\n"
        "  each_register load, reg_in\n"
        "1: cmpl $0, reg_stop(%rip)\n"
        "  je 1b\n"
        "  each_register store, reg_out\n"
        "  leave_again\n"

        /* No instruction of this loop touches a flag. */
        ".globl spin_flags\nspin_flags:\n"
        "  enter\n"
        "  pushq reg_flags_in(%rip)\n"
        "  popfq\n"
        "1: movq reg_stop(%rip), %rcx\n"
        "  jrcxz 1b\n"
        "  pushfq\n"
        "  popq reg_flags_out(%rip)\n"
        "  pushq $2\n"
        "  popfq\n"
        "  leave_again\n"

        ".globl block_in_futex\nblock_in_futex:\n"
        "  enter\n"
        "  each_register load, reg_in\n"
        "  syscall\n"
        "  each_register store, reg_out\n"
        "  leave_again\n");

static const char *const names[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8",
                                    "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
/* Carry, parity, adjust, zero, sign, direction, overflow, alignment check. */
enum { FLAGS = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x400 | 0x800 | 0x40000 };

static _Atomic pid_t tid;

static void *run(void *function)
{
    tid = gettid();
    ((void (*)(void))function)();
    return NULL;
}

int main(int argc, char **argv)
{
    bool flags = is_case(argc, argv, "flags"), blocked = is_case(argc, argv, "blocked");
    pthread_t thread;
    for (int i = 0; i < 15; i++)
        reg_in[i] = victim_mix((uint64_t)i + 1) | 0x8000000000000000ULL;
    reg_flags_in = FLAGS & ~0x44u; /* parity and zero stay clear, all others are set */
    if (blocked) {
        reg_in[0] = SYS_futex;
        reg_in[5] = (uint64_t)(uintptr_t)&reg_stop;
        reg_in[4] = FUTEX_WAIT | FUTEX_PRIVATE_FLAG;
        reg_in[3] = 0; /* expected value */
        reg_in[9] = 0; /* no time limit */
    }
    void *function = blocked ? (void *)block_in_futex : flags ? (void *)spin_flags : (void *)spin_general;
    need(pthread_create(&thread, NULL, run, function) == 0);
    while (!tid)
        victim_nap();
    if (blocked)
        need(await_blocked(tid, SYS_futex));
    ready();
    wait_go();
    reg_stop = 1;
    if (blocked)
        syscall(SYS_futex, &reg_stop, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    pthread_join(thread, NULL);

    same("distance of the stack pointer", reg_stack, 0);
    if (flags) {
        same("flags", reg_flags_out & FLAGS, reg_flags_in);
        finish();
    }
    for (int i = 0; i < 15; i++)
        /* A system call returns in rax and spoils rcx and r11. */
        if (!blocked || (i != 0 && i != 2 && i != 10))
            same(names[i], reg_out[i], reg_in[i]);
    if (blocked)
        same("result of futex()", reg_out[0], 0);
    finish();
}
