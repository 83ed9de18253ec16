/*
 * Takes a checkpoint deep down in a recursion, dies, and in the restored process checks each kind of state. Prints
 * "ok WHAT" or "BAD WHAT" for each; the last line is "end". The files `input` and `second` have to exist.
 */
#include "pmckpt.h"

#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 300, BIG = 3 << 20, PAGE = 4096 };

static pid_t first_pid;
static int generation;
static volatile sig_atomic_t handled;
static __thread int thread_local_value;
static int in_data = 77;
static int in_bss[1000];
static char *big, *read_only, *no_access;
static FILE *input;
static int second, second_twin, scratch;

static void check(const char *what, int good)
{
    printf("%s %s\n", good ? "ok" : "BAD", what);
}

static void handler(int signal)
{
    handled += signal;
}

static void *thread(void *argument)
{
    return (char *)argument + 1;
}

static void note_preamble(void)
{
    int fd = open("preambles", O_WRONLY | O_CREAT | O_APPEND, 0644);

    if (fd < 0 || write(fd, "x\n", 2) != 2)
        abort();
    close(fd);
}

static void set_up(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct itimerval timer = {{500, 0}, {1000, 0}};
    stack_t stack = {.ss_sp = malloc(SIGSTKSZ * 4), .ss_size = SIGSTKSZ * 4};
    sigset_t hangup;

    first_pid = getpid();
    sigaddset(&action.sa_mask, SIGWINCH);
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hangup, NULL);
    sigaltstack(&stack, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    thread_local_value = 4711;
    in_data = 78;
    in_bss[999] = 79;
    big = malloc(BIG);
    memset(big, 'b', BIG);
    read_only = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(read_only, "read only");
    mprotect(read_only, 2 * PAGE, PROT_READ);
    no_access = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(no_access, "no access");
    mprotect(no_access, 2 * PAGE, PROT_NONE);
    fesetround(FE_UPWARD);
    setlocale(LC_ALL, "C.UTF-8");
    second = open("second", O_RDONLY);
    second_twin = dup(second);
    lseek(second, 7, SEEK_SET);
    scratch = open("scratch", O_RDWR | O_CREAT, 0644);
    if (write(scratch, "0123456789", 10) != 10)
        abort();
    lseek(scratch, 4, SEEK_SET);
    setenv("SET_BY_PROGRAM", "yes", 1);
}

static void check_signals(void)
{
    struct sigaction action;
    struct itimerval timer;
    stack_t stack;
    sigset_t mask;

    raise(SIGUSR1);
    check("handler", handled == SIGUSR1);
    raise(SIGUSR2);
    sigaction(SIGUSR1, NULL, &action);
    check("handler's flags and mask", (action.sa_flags & (SA_RESTART | SA_ONSTACK | SA_SIGINFO)) == (SA_RESTART | SA_ONSTACK) &&
                                          sigismember(&action.sa_mask, SIGWINCH) == 1);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    check("signal mask", sigismember(&mask, SIGHUP) == 1 && sigismember(&mask, SIGINT) == 0);
    sigaltstack(NULL, &stack);
    check("alternate stack", stack.ss_size == (size_t)SIGSTKSZ * 4 && !(stack.ss_flags & SS_DISABLE));
    getitimer(ITIMER_REAL, &timer);
    check("timer", timer.it_interval.tv_sec == 500 && timer.it_value.tv_sec > 900 && timer.it_value.tv_sec <= 1000);
}

static void check_memory(int argc, char **argv)
{
    volatile double one = 1, three = 3;
    volatile double up = one / three; /* here, and not where it is used */
    char *more = malloc(40 << 20);
    void *heap_end = sbrk(PAGE);

    fesetround(FE_DOWNWARD);
    check("rounding mode", up > one / three);
    fesetround(FE_TONEAREST);
    check("data", in_data == 78 && in_bss[999] == 79);
    check("thread-local data", thread_local_value == 4711);
    check("heap", big[0] == 'b' && big[BIG - 1] == 'b' && memcmp(big, big + 1, BIG - 1) == 0);
    check("read-only memory", strcmp(read_only, "read only") == 0);
    check("memory without access", mprotect(no_access, PAGE, PROT_READ) == 0 && strcmp(no_access, "no access") == 0);
    check("locale", strcmp(setlocale(LC_ALL, NULL), "C.UTF-8") == 0);
    check("arguments", argc == 3 && strcmp(argv[1], "first") == 0 && strcmp(argv[2], "second one") == 0);
    check("environment", getenv("SET_BY_PROGRAM") && getenv("SET_OUTSIDE") && !getenv("CKPT_RESTORE_FROM"));
    memset(more, 1, 40 << 20);
    free(more);
    check("break", heap_end != (void *)-1);
    memset(heap_end, 1, PAGE);
}

static void check_files(void)
{
    char text[16] = "";

    check("position of a preamble's file", fgets(text, sizeof(text), input) && strcmp(text, "two\n") == 0);
    check("position of another file", read(second, text, 1) == 1 && text[0] == '7');
    check("shared position", read(second_twin, text, 1) == 1 && text[0] == '8');
    check("position for writing", lseek(scratch, 0, SEEK_CUR) == 4 && write(scratch, "x", 1) == 1);
    check("numbers of files", open("input", O_RDONLY | O_CLOEXEC) == scratch + 1);
}

static void check_kernel(void)
{
    struct timespec now = {0};
    pthread_t id;
    void *result = NULL;
    int status = -1;
    pid_t child;

    check("clock", clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec > 1600000000 && time(NULL) - now.tv_sec < 100);
    check("processor number", sched_getcpu() >= 0);
    child = fork();
    if (child == 0)
        _exit(33);
    check("child", waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 33);
    check("thread", pthread_create(&id, NULL, thread, &status) == 0 && pthread_join(id, &result) == 0 &&
                        result == (char *)&status + 1);
}

static long descend(int n, register long sum)
{
CKPT VARS
    register long squares;
    volatile long marker;
    long result;
CKPT TOPS

    squares = (long)n * n;
    marker = n;
    if (n == 0) {
        ckpt_schedule();
CKPT POINT descend_a descend_bottom
        if (getpid() == first_pid)
            kill(getpid(), SIGKILL);
        generation++;
        return sum;
    }
CKPT POINT descend_b descend_calls
    result = descend(n - 1, sum + squares);
    return marker == n && squares == (long)n * n ? result + 1 : -1000000;
CKPT BOTS
}

int main(int argc, char **argv)
{
CKPT VARS
    char line[16];
    long sum;

    input = fopen("input", "r");
    note_preamble();
CKPT TOPS

    if (!input || !fgets(line, sizeof(line), input))
        return 2;
    set_up();
    printf("half a ");
CKPT POINT main_a main_calls
    sum = descend(DEPTH, 5);
    printf("line\n");
    check("generation", generation == 1);
    check("recursion", sum == 5 + DEPTH * (DEPTH + 1L) * (2 * DEPTH + 1) / 6 + DEPTH);
    check_signals();
    check_memory(argc, argv);
    check_files();
    check_kernel();
    printf("end\n");
    return 7;
CKPT BOTS
}
