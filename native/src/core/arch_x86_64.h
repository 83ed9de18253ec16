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
#define ARCH_TASK_SIZE 0x7ffffffff000ul /* end of user addresses with four-level page tables */
#define ARCH_NT_XSTATE NT_X86_XSTATE
#define ARCH_XSTATE_MAX 16384

/* Kernel-internal results of an interrupted system call (include/linux/errno.h); a tracer sees them. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

typedef struct user_regs_struct arch_regs;

/** Whether arch_crc32c() may be called. */
static inline bool arch_has_crc32c(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

/** CRC-32C without the inversions at both ends. Three times as fast as a plain loop; core/crc32c.h is what others call. */
uint32_t arch_crc32c(uint32_t crc, const uint8_t *data, size_t size);

/** The processor's enabled extended states (XCR0), 0 if it has no xsave. */
static inline uint64_t arch_xfeatures(void)
{
    uint32_t eax, edx;
    if (!__builtin_cpu_supports("avx"))
        return 0x3;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax | (uint64_t)edx << 32;
}

static inline uint64_t arch_ip(const arch_regs *regs)
{
    return regs->rip;
}
static inline void arch_set_ip(arch_regs *regs, uint64_t ip)
{
    regs->rip = ip;
}
static inline uint64_t arch_sp(const arch_regs *regs)
{
    return regs->rsp;
}

/* arch_prctl(ARCH_MAP_VDSO_64, address) maps the vdso and its data there (arch/x86/include/uapi/asm/prctl.h). */
#define ARCH_MAP_VDSO_NR 158
#define ARCH_MAP_VDSO_CODE 0x2003

/** Is there a system call instruction at these two bytes? */
static inline bool arch_is_syscall(const uint8_t *code)
{
    return code[0] == 0x0f && code[1] == 0x05;
}

#define ARCH_REDIRECT_MAX 24u

/**
 * Code for the beginning of the vdso's function of that name: goes on at `target`, or where that is 0 (this kernel's vdso has
 * no such function) in the kernel by the system call that it stands for. Returns its size, ARCH_REDIRECT_MAX at most.
 */
size_t arch_vdso_redirect(const char *name, uint64_t target, uint8_t code[ARCH_REDIRECT_MAX]);

#define ARCH_FRAME_WORDS 4u

/** Do these words of a stack look like registers that a signal saved? Then *sp and *ip are where it interrupted. */
bool arch_is_signal_frame(const uint64_t words[ARCH_FRAME_WORDS], uint64_t *sp, uint64_t *ip);

/** Sets registers to make a system call by the instruction at ip. */
static inline void arch_enter_syscall(arch_regs *regs, uint64_t ip, long nr, uint64_t a, uint64_t b)
{
    regs->rip = ip;
    regs->rax = (unsigned long)nr;
    regs->orig_rax = (unsigned long)-1;
    regs->rdi = a;
    regs->rsi = b;
}

/** Number of the system call that the task is in, or -1. */
static inline long arch_syscall_nr(const arch_regs *regs)
{
    return (long)regs->orig_rax;
}
static inline long arch_syscall_result(const arch_regs *regs)
{
    return (long)regs->rax;
}
static inline void arch_set_syscall_result(arch_regs *regs, long value)
{
    regs->rax = (unsigned long)value;
}

/*
 * The stub: a few hundred bytes that make system calls inside of a stopped task. It is written for one task at a time.
 * Entered at ARCH_STUB_SINGLE it makes the call that is in the registers; at ARCH_STUB_BATCH those of a table of
 * struct remote_call (the register set by arch_stub_enter()), up to one with nr -1. Then it sends `signal` to its own
 * thread, which a tracer sees and which ends nothing when there is no tracer, and heals: it unmaps the scratch area if it
 * is mapped, and puts signal mask and registers back, so that a task whose tracer died goes on as if nothing had been.
 */
#define ARCH_STUB_BYTES 384u

struct arch_stub {
    uint64_t address; /* where it will stand */
    int32_t pid, tid; /* in the task's own pid namespace */
    int32_t signal;
    bool heal; /* false: notify again and again (the task is to die with its tracer) */
    uint64_t scratch;
    uint32_t scratch_size;
    arch_regs regs; /* to go on with */
    uint64_t sigmask;
};

/** Bytes at the front of a stub, by which it is known again after a tracer's death. */
extern const uint8_t arch_stub_magic[8];
/** Writes the stub's code. */
void arch_stub_write(const struct arch_stub *stub, uint8_t code[ARCH_STUB_BYTES]);
/** Sets registers to make one call (nr, args). */
void arch_stub_enter_single(const struct arch_stub *stub, arch_regs *regs, long nr, const uint64_t args[6]);
/** Sets registers to make the calls of the table. mapped: the scratch area is there, and the stub has to remove it if left alone. */
void arch_stub_enter_batch(const struct arch_stub *stub, arch_regs *regs, uint64_t table, bool mapped);
/** Result of a single call, from the registers at its notification. */
long arch_stub_single_result(const arch_regs *regs);

/** True if the task runs 64-bit code of this architecture. */
static inline bool arch_is_native(const arch_regs *regs)
{
    return regs->cs == 0x33;
}

/**
 * What an uninterrupted program never sees: a call that was interrupted by the tracer alone. Turns results that the kernel
 * makes of that (EINTR of epoll_wait and kin, see signal(7)) into one that restarts the call.
 */
void arch_fix_interrupted(arch_regs *regs);

/**
 * Registers for a new task that has no restart block: a call interrupted with ERESTART_RESTARTBLOCK is made again from its
 * start.
 */
void arch_fix_restart_block(arch_regs *regs);

#endif
