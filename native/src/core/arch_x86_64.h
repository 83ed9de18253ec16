/*
 * arch_x86_64.h - everything in C that depends on the processor, for x86-64. A port to another architecture writes the
 * same names in a file of its own.
 */
#ifndef CAESURA_CORE_ARCH_H
#define CAESURA_CORE_ARCH_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/user.h>

#define ARCH_ELF_MACHINE EM_X86_64
#define ARCH_NAME "x86-64"
#define ARCH_PAGE_SIZE 4096ul
#define ARCH_TASK_SIZE 0x7ffffffff000ul     /* end of user addresses with four-level page tables */
#define ARCH_NT_XSTATE NT_X86_XSTATE
#define ARCH_XSTATE_MAX 16384

/* Kernel-internal results of an interrupted system call (include/linux/errno.h); a tracer sees them. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

typedef struct user_regs_struct arch_regs;

static inline bool arch_has_crc32c(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static inline uint32_t arch_crc32c(uint32_t crc, const uint8_t *data, size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (size--)
        crc = __builtin_ia32_crc32qi(crc, *data++);
    return crc;
}

/** The processor's enabled extended states (XCR0), 0 if it has no xsave. */
static inline uint64_t arch_xfeatures(void)
{
    uint32_t eax, edx;
    if (!__builtin_cpu_supports("avx"))
        return 0x3;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax | (uint64_t)edx << 32;
}

static inline uint64_t arch_ip(const arch_regs *regs) { return regs->rip; }
static inline uint64_t arch_sp(const arch_regs *regs) { return regs->rsp; }

/** Number of the system call that the task is in, or -1. */
static inline long arch_syscall_nr(const arch_regs *regs) { return (long)regs->orig_rax; }
static inline long arch_syscall_result(const arch_regs *regs) { return (long)regs->rax; }
static inline void arch_set_syscall_result(arch_regs *regs, long value) { regs->rax = (unsigned long)value; }

#endif
