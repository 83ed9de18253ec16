/*
 * How a call is made in a stopped task: its registers are pointed at a stub (core/arch_*.c), it runs, and the stub reports
 * by sending its own thread a signal, which a tracer is told of.
 *
 * The stub stands in a cave: unused bytes at the end of an executable page, normally the vdso's, written through the
 * tracer's access, which gives the process a private copy of that page. The table of calls and their data are in a scratch
 * area that the first call maps. No signal but the notifying one is let in meanwhile. That one is chosen so that it does
 * nothing if no tracer is there to see it. So whatever moment the tracer dies at, the task runs on through the stub's
 * healing part, which takes the scratch area away and puts mask and registers back.
 *
 * Two stubs stand in the cave: the holder's, the task that mapped the scratch area and stays in its stub until the end,
 * and the guest's, for calls of other tasks in between. If we die the holder takes the scratch area away at once, whatever
 * a guest does at that moment; so a guest never reads its calls from there, but makes one at a time from its registers.
 * Results that the kernel was to put there are then lost with an EFAULT, which nobody sees.
 */
#include "remote/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/capture.h"
#include "core/error.h"
#include "proc/proc.h"

#define CAVE_BYTES (2 * ARCH_STUB_BYTES)
#define TABLE_BYTES (REMOTE_SCRATCH_BYTES - REMOTE_DATA_BYTES)

_Static_assert(sizeof(struct remote_call) == 64, "the stub steps by 64 bytes and puts results at 56");
_Static_assert((REMOTE_CALLS_MAX + 1) * sizeof(struct remote_call) <= TABLE_BYTES, "table");
_Static_assert(CAVE_BYTES <= REMOTE_CODE_BYTES, "code");

struct remote {
    struct target *target;
    int mem_fd;
    bool healing;
    int notify;
    uint64_t cave;
    uint8_t cave_before[CAVE_BYTES];
    uint64_t scratch; /* 0: not mapped */
    struct task *holder;
    uint64_t foreign; /* signals that came from elsewhere meanwhile, bit signo - 1 */
};

static int lost(const struct task *task, struct caesura_error *err)
{
    error_set(err, CAESURA_ESRCH_, "task %d ended while it was frozen", task->inner_tid);
    return error_about(err, task->inner_tid, -1);
}

static int mem_access(struct remote *remote, uint64_t address, void *data, size_t size, bool write,
                      struct caesura_error *err)
{
    ssize_t done =
        write ? pwrite(remote->mem_fd, data, size, (off_t)address) : pread(remote->mem_fd, data, size, (off_t)address);
    if (done == (ssize_t)size)
        return 0;
    return error_errno(err, done < 0 ? errno : EFAULT, "cannot %s memory of process %d at %#llx",
                       write ? "write" : "read", remote->target->inner_pid, (unsigned long long)address);
}

int remote_write(struct remote *remote, uint64_t address, const void *data, size_t size, struct caesura_error *err)
{
    struct iovec local = {.iov_base = (void *)data, .iov_len = size},
                 there = {.iov_base = (void *)address, .iov_len = size};
    if (process_vm_writev(remote->target->live_tid, &local, 1, &there, 1, 0) == (ssize_t)size)
        return 0;
    return mem_access(remote, address, (void *)data, size, true, err);
}

int remote_read(struct remote *remote, uint64_t address, void *data, size_t size, struct caesura_error *err)
{
    struct iovec local = {.iov_base = data, .iov_len = size}, there = {.iov_base = (void *)address, .iov_len = size};
    if (process_vm_readv(remote->target->live_tid, &local, 1, &there, 1, 0) == (ssize_t)size)
        return 0;
    return mem_access(remote, address, data, size, false, err);
}

uint64_t remote_data(const struct remote *remote)
{
    return remote->scratch + TABLE_BYTES;
}

/* Unused bytes at the end of a map: zeros, or what an earlier tracer that died has left. */
static bool cave_at_end(struct remote *remote, const struct proc_map *map)
{
    uint8_t tail[CAVE_BYTES + 16];

    if (map->end - map->start < sizeof tail ||
        mem_access(remote, map->end - sizeof tail, tail, sizeof tail, false, NULL))
        return false;
    bool ours = memcmp(tail + 16, arch_stub_magic, sizeof arch_stub_magic) == 0;
    for (size_t i = 0; i < (ours ? 16 : sizeof tail); i++)
        if (tail[i])
            return false;
    remote->cave = map->end - CAVE_BYTES;
    memset(remote->cave_before, 0, CAVE_BYTES);
    return true;
}

static int cave_find(struct remote *remote, struct caesura_error *err)
{
    char *text;
    struct proc_map map;
    int rc = proc_read(remote->target->live_tid, "maps", &text, NULL);
    if (rc)
        return error_errno(err, -rc, "cannot read the maps of process %d", remote->target->inner_pid);

    bool found = false;
    for (int pass = 0; pass < 2 && !found; pass++) {
        const char *at = text;
        while (!found && proc_next_map(&at, &map) > 0) {
            bool is_vdso = !strcmp(map.name, "[vdso]");
            if (map.perms[0] == 'r' && map.perms[2] == 'x' && map.perms[3] == 'p' && is_vdso == !pass &&
                strcmp(map.name, "[vsyscall]") != 0)
                found = cave_at_end(remote, &map);
        }
    }
    free(text);
    if (found)
        return 0;
    error_set(err, CAESURA_EUNSUPPORTED, "process %d has no executable page with %u unused bytes at its end",
              remote->target->inner_pid, CAVE_BYTES);
    error_hint(err, "start it with the vdso enabled (kernel parameter vdso=1)");
    return error_about(err, remote->target->inner_pid, -1);
}

/* A signal that does nothing when nobody traces, and is not pending, for two of the same would become one. */
static int notify_choose(struct remote *remote, struct caesura_error *err)
{
    static const int harmless[] = {SIGURG, SIGWINCH, SIGCHLD};
    struct proc_status status = {0};
    uint64_t pending = 0;

    for (size_t i = 0; i < remote->target->n_tasks; i++) {
        int rc = proc_task_status(remote->target->pid, remote->target->tasks[i].tid, &status);
        if (rc)
            return error_errno(err, -rc, "cannot read the status of task %d", remote->target->tasks[i].inner_tid);
        pending |= status.signals_pending | status.signals_shared_pending;
    }
    for (size_t i = 0; i < 3 && !remote->notify; i++)
        if (!((status.signals_caught | pending) >> (harmless[i] - 1) & 1))
            remote->notify = harmless[i];
    for (int signo = 1; signo <= 64 && !remote->notify; signo++)
        if (status.signals_ignored >> (signo - 1) & ~(pending >> (signo - 1)) & 1)
            remote->notify = signo;
    /*
     * All have handlers (the Go runtime takes every signal). Then the handler of one of these runs once more than it
     * should if the tracer is killed within these microseconds; programs must expect them at any time.
     */
    for (size_t i = 0; i < 3 && !remote->notify; i++)
        if (!(pending >> (harmless[i] - 1) & 1))
            remote->notify = harmless[i];
    if (remote->notify)
        return 0;
    return error_set(err, CAESURA_EAGAIN_, "process %d has SIGURG, SIGWINCH and SIGCHLD pending",
                     remote->target->inner_pid);
}

static uint64_t address_free(struct remote *remote, size_t size)
{
    char *text;
    struct proc_map map;
    uint64_t last_end = 0x10000, found = 0;

    if (proc_read(remote->target->live_tid, "maps", &text, NULL))
        return 0;
    /* In the middle of a gap, so that neither neighbour is merged with it or kept from growing. */
    const char *at = text;
    while (!found && proc_next_map(&at, &map) > 0) {
        if (map.start > last_end && map.start - last_end > 4 * size + (16u << 20))
            found = (last_end + (map.start - last_end) / 2) & ~(ARCH_PAGE_SIZE - 1);
        last_end = map.end;
    }
    free(text);
    return found;
}

static struct arch_stub stub_of(const struct remote *remote, const struct task *task)
{
    bool holder = task == remote->holder;
    return (struct arch_stub){
        .address = remote->cave + (holder ? 0 : ARCH_STUB_BYTES),
        .pid = remote->target->inner_pid,
        .tid = task->inner_tid,
        .signal = remote->notify,
        .heal = remote->healing,
        .scratch = remote->scratch,
        .scratch_size = REMOTE_SCRATCH_BYTES,
        .regs = task->regs,
        .sigmask = task->sigmask,
    };
}

static bool is_notification(const struct remote *remote, const struct task *task, int status)
{
    siginfo_t info;

    if (WSTOPSIG(status) != remote->notify || status >> 16)
        return false;
    if (ptrace(PTRACE_GETSIGINFO, task->tid, 0, &info) < 0)
        return false;
    return info.si_code == SI_TKILL && info.si_pid == remote->target->inner_pid;
}

static int wait_notification(struct remote *remote, const struct task *task, struct caesura_error *err)
{
    for (;;) {
        int status;
        if (waitpid(task->tid, &status, __WALL) < 0) {
            if (errno == EINTR)
                continue;
            return lost(task, err);
        }
        if (!WIFSTOPPED(status))
            return lost(task, err);
        if (is_notification(remote, task, status))
            return 0;
        /* Someone else's signal: SIGSTOP, or the notifying one; delivered again when we are done. */
        if (!(status >> 16))
            remote->foreign |= 1ull << (WSTOPSIG(status) - 1);
        if (ptrace(PTRACE_CONT, task->tid, 0, 0) < 0)
            return lost(task, err);
    }
}

/* Lets the task run from regs to its next notification. */
static int task_run(struct remote *remote, struct task *task, const struct arch_stub *stub, arch_regs *regs,
                    struct caesura_error *err)
{
    uint8_t code[ARCH_STUB_BYTES];
    uint64_t mask = ~(1ull << (remote->notify - 1));

    arch_stub_write(stub, code);
    int rc = mem_access(remote, stub->address, code, sizeof code, true, err);
    if (rc)
        return rc;
    if (ptrace(PTRACE_SETREGS, task->tid, 0, regs) < 0 ||
        ptrace(PTRACE_SETSIGMASK, task->tid, sizeof mask, &mask) < 0 || ptrace(PTRACE_CONT, task->tid, 0, 0) < 0)
        return lost(task, err);
    rc = wait_notification(remote, task, err);
    if (!rc && ptrace(PTRACE_GETREGS, task->tid, 0, regs) < 0)
        rc = lost(task, err);
    return rc;
}

static int task_put_back(struct task *task, struct caesura_error *err)
{
    /* In this order: between the two the stub still stands, and heals what is left. */
    if (ptrace(PTRACE_SETSIGMASK, task->tid, sizeof task->sigmask, &task->sigmask) < 0 ||
        ptrace(PTRACE_SETREGS, task->tid, 0, &task->regs) < 0)
        return lost(task, err);
    return 0;
}

static int single(struct remote *remote, struct task *task, int64_t *result, struct caesura_error *err, long nr,
                  const uint64_t args[6])
{
    struct arch_stub stub = stub_of(remote, task);
    arch_regs regs;

    arch_stub_enter_single(&stub, &regs, nr, args);
    int rc = task_run(remote, task, &stub, &regs, err);
    if (!rc)
        *result = arch_stub_single_result(&regs);
    return rc;
}

static int remote_new(struct target *target, struct remote **out, struct caesura_error *err)
{
    char path[64];
    struct remote *remote = calloc(1, sizeof *remote);

    if (!remote)
        return error_errno(err, ENOMEM, "cannot prepare calls in process %d", target->inner_pid);
    snprintf(path, sizeof path, "/proc/%d/mem", target->live_tid);
    remote->target = target;
    remote->holder = &target->tasks[0];
    remote->mem_fd = open(path, O_RDWR | O_CLOEXEC);
    if (remote->mem_fd < 0) {
        free(remote);
        return error_errno(err, errno, "cannot open %s", path);
    }
    *out = remote;
    return 0;
}

static void remote_free(struct remote *remote)
{
    remote->target->remote = NULL;
    close(remote->mem_fd);
    free(remote);
}

int remote_begin(struct target *target, struct remote **out, struct caesura_error *err)
{
    struct remote *remote;
    int64_t result;
    int rc = remote_new(target, &remote, err);
    if (rc)
        return rc;

    remote->healing = true;
    rc = cave_find(remote, err);
    if (!rc)
        rc = notify_choose(remote, err);
    if (rc)
        goto fail;
    remote->scratch = address_free(remote, REMOTE_SCRATCH_BYTES);
    uint64_t args[6] = {remote->scratch,        REMOTE_SCRATCH_BYTES,
                        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                        (uint64_t)-1,           0};
    rc = single(remote, remote->holder, &result, err, SYS_mmap, args);
    if (!rc && result != (int64_t)remote->scratch)
        rc = error_errno(err, result < 0 && result > -4096 ? (int)-result : EAGAIN,
                         "process %d cannot map %u bytes of scratch memory", target->inner_pid, REMOTE_SCRATCH_BYTES);
    if (rc)
        goto put_back;
    target->remote = remote;
    *out = remote;
    return 0;
put_back:
    task_put_back(remote->holder, NULL);
    mem_access(remote, remote->cave, remote->cave_before, CAVE_BYTES, true, NULL);
fail:
    remote_free(remote);
    return rc;
}

int remote_adopt(struct target *target, uint64_t code, uint64_t scratch, int notify, struct remote **out,
                 struct caesura_error *err)
{
    struct remote *remote;
    int rc = remote_new(target, &remote, err);
    if (rc)
        return rc;
    remote->cave = code;
    remote->scratch = scratch;
    remote->notify = notify;
    target->remote = remote;
    *out = remote;
    return 0;
}

static int guest_calls(struct remote *remote, struct task *task, struct remote_call *calls, size_t count,
                       struct caesura_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++)
        rc = single(remote, task, &calls[i].result, err, calls[i].nr, calls[i].args);
    int back = task_put_back(task, rc ? NULL : err);
    return rc ? rc : back;
}

int remote_calls(struct remote *remote, struct task *task, struct remote_call *calls, size_t count,
                 struct caesura_error *err)
{
    const struct remote_call end = {.nr = -1};
    struct arch_stub stub = stub_of(remote, task);
    arch_regs regs;

    if (count > REMOTE_CALLS_MAX)
        return error_set(err, CAESURA_EENGINE, "%zu calls in one batch", count);
    if (remote->healing && task != remote->holder)
        return guest_calls(remote, task, calls, count, err);
    int rc = remote_write(remote, remote->scratch, calls, count * sizeof *calls, err);
    if (!rc)
        rc = remote_write(remote, remote->scratch + count * sizeof *calls, &end, sizeof end, err);
    if (rc)
        return rc;
    arch_stub_enter_batch(&stub, &regs, remote->scratch, task == remote->holder);
    rc = task_run(remote, task, &stub, &regs, err);
    if (!rc)
        rc = remote_read(remote, remote->scratch, calls, count * sizeof *calls, err);
    return rc;
}

int remote_call(struct remote *remote, struct task *task, int64_t *result, struct caesura_error *err, int64_t nr,
                uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    struct remote_call call = {.nr = nr, .args = {a, b, c, d, e, f}};
    int rc = remote_calls(remote, task, &call, 1, err);
    *result = call.result;
    return rc;
}

int remote_end(struct remote *remote, struct caesura_error *err)
{
    int rc = 0;

    if (!remote)
        return 0;
    if (remote->healing) {
        uint64_t args[6] = {remote->scratch, REMOTE_SCRATCH_BYTES};
        int64_t result;
        rc = single(remote, remote->holder, &result, err, SYS_munmap, args);
        if (!rc)
            rc = task_put_back(remote->holder, err);
        if (!rc)
            rc = mem_access(remote, remote->cave, remote->cave_before, CAVE_BYTES, true, err);
        for (int signo = 1; signo <= 64; signo++)
            if (remote->foreign >> (signo - 1) & 1)
                kill(remote->target->pid, signo);
    }
    remote_free(remote);
    return rc;
}
