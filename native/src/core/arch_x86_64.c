#include "core/arch_x86_64.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <x86intrin.h>

/*
 * The instruction takes a word per cycle but gives its result three cycles later, so three blocks are summed up at a time.
 * What comes before a block of zeros of L bytes counts as its product with x^8L modulo the polynomial: a carry-less
 * multiplication, which the instruction itself reduces (and thereby multiplies by x^32; one more x is lost since both
 * factors are bit-reversed). So the constants are x^(8L - 33) modulo the polynomial, bit-reversed, for one and two blocks.
 */
#define CRC_BLOCK 1024u
#define CRC_AFTER_ONE 0x170076faull
#define CRC_AFTER_TWO 0xa51b6135ull

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_join(uint64_t a, uint64_t b, uint64_t c)
{
    __m128i first =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), _mm_cvtsi64_si128((long long)CRC_AFTER_TWO), 0);
    __m128i second =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)b), _mm_cvtsi64_si128((long long)CRC_AFTER_ONE), 0);
    uint64_t product = (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(first, second));

    return (uint32_t)(_mm_crc32_u64(0, product) ^ c);
}

static inline uint64_t word_at(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

__attribute__((target("sse4.2,pclmul"))) uint32_t arch_crc32c(uint32_t crc, const uint8_t *data, size_t size)
{
    for (; size >= 3 * CRC_BLOCK; size -= 3 * CRC_BLOCK, data += 3 * CRC_BLOCK) {
        uint64_t a = crc, b = 0, c = 0;
        for (size_t i = 0; i < CRC_BLOCK; i += 8) {
            a = _mm_crc32_u64(a, word_at(data + i));
            b = _mm_crc32_u64(b, word_at(data + CRC_BLOCK + i));
            c = _mm_crc32_u64(c, word_at(data + 2 * CRC_BLOCK + i));
        }
        crc = crc_join(a, b, c);
    }
    for (; size >= 8; size -= 8, data += 8)
        crc = (uint32_t)_mm_crc32_u64(crc, word_at(data));
    while (size--)
        crc = _mm_crc32_u8(crc, *data++);
    return crc;
}

const uint8_t arch_stub_magic[8] = {'c', 'a', 'e', 's', 'u', 'r', 'a', 1};

#define ENTRY_SINGLE 8u
#define ENTRY_BATCH 15u

/*
 * single:  syscall
 *          mov %rax,%r12
 *          jmp notify
 * batch:   mov (%rbx),%rax
 *          cmp $-1,%rax
 *          je notify
 *          mov 8(%rbx),%rdi ... mov 48(%rbx),%r9
 *          syscall
 *          mov %rax,56(%rbx)
 *          add $64,%rbx
 *          jmp batch
 * notify:
 */
static const uint8_t calls[] = {
    0x0f, 0x05, 0x49, 0x89, 0xc4, 0xeb, 0x2d, 0x48, 0x8b, 0x03, 0x48, 0x83, 0xf8, 0xff, 0x74, 0x24, 0x48, 0x8b,
    0x7b, 0x08, 0x48, 0x8b, 0x73, 0x10, 0x48, 0x8b, 0x53, 0x18, 0x4c, 0x8b, 0x53, 0x20, 0x4c, 0x8b, 0x43, 0x28,
    0x4c, 0x8b, 0x4b, 0x30, 0x0f, 0x05, 0x48, 0x89, 0x43, 0x38, 0x48, 0x83, 0xc3, 0x40, 0xeb, 0xd3,
};

struct emitter {
    uint8_t *code;
    size_t at;
};

static void emit(struct emitter *e, const void *bytes, size_t size)
{
    memcpy(e->code + e->at, bytes, size);
    e->at += size;
}

static void emit_u32(struct emitter *e, uint32_t value)
{
    emit(e, &value, sizeof value);
}
static void emit_u64(struct emitter *e, uint64_t value)
{
    emit(e, &value, sizeof value);
}

#define EMIT(e, ...) emit(e, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* opcode of `mov $imm32,%reg32` then the immediate. */
static void emit_mov32(struct emitter *e, uint8_t opcode, uint32_t value)
{
    EMIT(e, opcode);
    emit_u32(e, value);
}

static void emit_movabs(struct emitter *e, uint8_t rex, uint8_t opcode, uint64_t value)
{
    EMIT(e, rex, opcode);
    emit_u64(e, value);
}

/* Registers that the kernel would restart the interrupted call with; the kernel itself does it only for its own stops. */
static arch_regs regs_restarted(const arch_regs *from)
{
    arch_regs regs = *from;
    long result = (long)regs.rax;

    if ((long)regs.orig_rax < 0)
        return regs;
    if (result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND) {
        regs.rax = regs.orig_rax;
        regs.rip -= 2;
    } else if (result == -ERESTART_RESTARTBLOCK) {
        regs.rax = SYS_restart_syscall;
        regs.rip -= 2;
    }
    return regs;
}

/* Offsets of the two constants at the end. */
#define DATA_MASK (ARCH_STUB_BYTES - 16)
#define DATA_IP (ARCH_STUB_BYTES - 8)

static void emit_rip_relative(struct emitter *e, uint32_t target)
{
    emit_u32(e, target - (uint32_t)(e->at + 4));
}

/* Flags without a stack, by instructions that set them so. What follows (mov, lea, syscall) leaves them alone. */
static void emit_flags(struct emitter *e, uint64_t flags)
{
    const uint8_t overflow = flags >> 11 & 1, direction = flags >> 10 & 1;

    EMIT(e, 0xb0, 0x7f, 0x04, overflow); /* mov $0x7f,%al; add $OF,%al */
    EMIT(e, 0xb4, (uint8_t)flags, 0x9e); /* mov $flags,%ah; sahf: the other arithmetic flags */
    EMIT(e, direction ? 0xfd : 0xfc);    /* std or cld */
}

static void emit_heal(struct emitter *e, const struct arch_stub *stub)
{
    arch_regs regs = regs_restarted(&stub->regs);

    EMIT(e, 0x4d, 0x39, 0xec); /* cmp %r13,%r12: is the scratch area mapped? */
    EMIT(e, 0x75, 0x0f);       /* jne over the next four */
    emit_mov32(e, 0xb8, SYS_munmap);
    EMIT(e, 0x4c, 0x89, 0xef); /* mov %r13,%rdi */
    emit_mov32(e, 0xbe, stub->scratch_size);
    EMIT(e, 0x0f, 0x05);
    emit_flags(e, regs.eflags);
    /* From here on a handler may run: the stack pointer was never touched, its frame goes below it. */
    emit_mov32(e, 0xb8, SYS_rt_sigprocmask);
    emit_mov32(e, 0xbf, SIG_SETMASK);
    EMIT(e, 0x48, 0x8d, 0x35); /* lea mask(%rip),%rsi */
    emit_rip_relative(e, DATA_MASK);
    emit_mov32(e, 0xba, 0);
    EMIT(e, 0x41); /* mov $8,%r10d */
    emit_mov32(e, 0xba, 8);
    EMIT(e, 0x0f, 0x05);
    emit_movabs(e, 0x48, 0xb8, regs.rax);
    emit_movabs(e, 0x48, 0xb9, regs.rcx);
    emit_movabs(e, 0x48, 0xba, regs.rdx);
    emit_movabs(e, 0x48, 0xbb, regs.rbx);
    emit_movabs(e, 0x48, 0xbd, regs.rbp);
    emit_movabs(e, 0x48, 0xbe, regs.rsi);
    emit_movabs(e, 0x48, 0xbf, regs.rdi);
    emit_movabs(e, 0x49, 0xb8, regs.r8);
    emit_movabs(e, 0x49, 0xb9, regs.r9);
    emit_movabs(e, 0x49, 0xba, regs.r10);
    emit_movabs(e, 0x49, 0xbb, regs.r11);
    emit_movabs(e, 0x49, 0xbc, regs.r12);
    emit_movabs(e, 0x49, 0xbd, regs.r13);
    emit_movabs(e, 0x49, 0xbe, regs.r14);
    emit_movabs(e, 0x49, 0xbf, regs.r15);
    EMIT(e, 0xff, 0x25); /* jmp *ip(%rip) */
    emit_rip_relative(e, DATA_IP);
    e->at = DATA_MASK;
    emit_u64(e, stub->sigmask);
    emit_u64(e, regs.rip);
}

void arch_stub_write(const struct arch_stub *stub, uint8_t code[ARCH_STUB_BYTES])
{
    struct emitter e = {.code = code};

    memset(code, 0, ARCH_STUB_BYTES);
    emit(&e, arch_stub_magic, sizeof arch_stub_magic);
    emit(&e, calls, sizeof calls);
    size_t notify = e.at;
    emit_mov32(&e, 0xb8, SYS_tgkill);
    emit_mov32(&e, 0xbf, (uint32_t)stub->pid);
    emit_mov32(&e, 0xbe, (uint32_t)stub->tid);
    emit_mov32(&e, 0xba, (uint32_t)stub->signal);
    EMIT(&e, 0x0f, 0x05);
    if (stub->heal)
        emit_heal(&e, stub);
    else
        EMIT(&e, 0xeb, (uint8_t)(notify - (e.at + 2)));
}

static void enter(const struct arch_stub *stub, arch_regs *regs, unsigned entry, bool mapped)
{
    *regs = stub->regs;
    regs->rip = stub->address + entry;
    regs->orig_rax = (unsigned long)-1; /* no call of the task's own is to be restarted now */
    regs->r13 = stub->scratch;
    regs->r12 = mapped ? stub->scratch : 0;
    regs->eflags &= ~0x500ul; /* neither direction nor trap flag */
}

void arch_stub_enter_single(const struct arch_stub *stub, arch_regs *regs, long nr, const uint64_t args[6])
{
    enter(stub, regs, ENTRY_SINGLE, false);
    regs->rax = (unsigned long)nr;
    regs->rdi = args[0];
    regs->rsi = args[1];
    regs->rdx = args[2];
    regs->r10 = args[3];
    regs->r8 = args[4];
    regs->r9 = args[5];
}

void arch_stub_enter_batch(const struct arch_stub *stub, arch_regs *regs, uint64_t table, bool mapped)
{
    enter(stub, regs, ENTRY_BATCH, mapped);
    regs->rbx = table;
}

long arch_stub_single_result(const arch_regs *regs)
{
    return (long)regs->r12;
}

/* signal(7): "certain blocking interfaces can fail with EINTR after the process is stopped ... and then resumed". */
static bool returns_eintr_when_stopped(long nr)
{
    switch (nr) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case 441 /* epoll_pwait2 */:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_rt_sigtimedwait:
    case SYS_io_getevents:
    case 333 /* io_pgetevents */:
    case 426 /* io_uring_enter */:
    /* Sockets with SO_RCVTIMEO or SO_SNDTIMEO. */
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_sendto:
    case SYS_sendmsg:
        return true;
    default:
        return false;
    }
}

void arch_fix_interrupted(arch_regs *regs)
{
    if ((long)regs->rax == -EINTR && returns_eintr_when_stopped((long)regs->orig_rax))
        regs->rax = (unsigned long)-ERESTARTNOHAND;
}

void arch_fix_restart_block(arch_regs *regs)
{
    const unsigned long absolute = 1; /* TIMER_ABSTIME */

    if ((long)regs->orig_rax < 0 || (long)regs->rax != -ERESTART_RESTARTBLOCK)
        return;
    regs->rax = (unsigned long)-ERESTARTNOINTR;
    /* The kernel has put the time left to where the caller wants it, if he does: the call is made again with that. */
    if (regs->orig_rax == SYS_nanosleep && regs->rsi)
        regs->rdi = regs->rsi;
    if (regs->orig_rax == SYS_clock_nanosleep && !(regs->rsi & absolute) && regs->r10)
        regs->rdx = regs->r10;
}

/* Functions of the vdso and the system calls with the same arguments; also known by their names without the prefix. */
static const struct {
    const char *name;
    uint32_t nr;
} vdso_calls[] = {
    {"clock_gettime", SYS_clock_gettime},
    {"gettimeofday", SYS_gettimeofday},
    {"time", SYS_time},
    {"clock_getres", SYS_clock_getres},
    {"getcpu", SYS_getcpu},
};

/*
 * getrandom() of the vdso works on memory of the caller's, in a form that only the kernel knows that gave it. So it becomes the
 * system call even where this vdso has the function. The question for the form (size -1) is answered by ENOSYS.
 */
static size_t redirect_getrandom(uint8_t *code)
{
    struct emitter e = {.code = code};

    EMIT(&e, 0x49, 0x83, 0xf8, 0xff); /* cmp $-1,%r8 */
    emit_mov32(&e, 0xb8, SYS_getrandom);
    EMIT(&e, 0x74, 0x03, 0x0f, 0x05, 0xc3);                         /* je over; syscall; ret; over: */
    EMIT(&e, 0x48, 0xc7, 0xc0, (uint8_t)-ENOSYS, 0xff, 0xff, 0xff); /* mov $-ENOSYS,%rax */
    EMIT(&e, 0xc3);
    return e.at;
}

size_t arch_vdso_redirect(const char *name, uint64_t target, uint8_t code[ARCH_REDIRECT_MAX])
{
    static const char prefix[] = "__vdso_";
    struct emitter e = {.code = code};
    const char *plain = strncmp(name, prefix, sizeof prefix - 1) ? name : name + sizeof prefix - 1;

    if (!strcmp(plain, "getrandom"))
        return redirect_getrandom(code);
    if (target) {
        emit_movabs(&e, 0x48, 0xb8, target);
        EMIT(&e, 0xff, 0xe0); /* jmp *%rax */
        return e.at;
    }
    for (size_t i = 0; i < sizeof vdso_calls / sizeof *vdso_calls; i++)
        if (!strcmp(plain, vdso_calls[i].name)) {
            emit_mov32(&e, 0xb8, vdso_calls[i].nr);
            EMIT(&e, 0x0f, 0x05, 0xc3); /* syscall; ret */
            return e.at;
        }
    EMIT(&e, 0x48, 0xc7, 0xc0, (uint8_t)-ENOSYS, 0xff, 0xff, 0xff, 0xc3);
    return e.at;
}

/* As in struct sigcontext: rsp, rip, eflags, and the four segment selectors in one word. */
bool arch_is_signal_frame(const uint64_t words[ARCH_FRAME_WORDS], uint64_t *sp, uint64_t *ip)
{
    uint64_t code_selector = words[3] & 0xffff, stack_selector = words[3] >> 48;

    /* Bit 1 of the flags is always set, and none above 21 is. */
    if (code_selector != 0x33 || (stack_selector != 0x2b && stack_selector != 0) || (words[2] & 2) == 0 ||
        words[2] >> 22)
        return false;
    *sp = words[0];
    *ip = words[1];
    return true;
}
