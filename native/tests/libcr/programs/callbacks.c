/* callbacks.c - a process with callbacks, in many ways; the first argument says which. The driver reads "events". */
#include "events.h"

static _Atomic long counter;
static _Atomic bool stop;

static void *worker(void *unused)
{
    while (!stop) {
        counter++;
        usleep(100);
    }
    return unused;
}

static void *initialized_thread(void *name)
{
    need(cr_init() >= 0);
    if (name)
        callback(say, name, CR_SIGNAL_CONTEXT);
    mark(name ? name : "init");
    wait_go();
    return NULL;
}

static pthread_t start(void *(*body)(void *), const char *name)
{
    pthread_t thread;
    need(pthread_create(&thread, NULL, body, (void *)(uintptr_t)name) == 0);
    return thread;
}

/* ---- order ---- */

static void order(void)
{
    callback(say, "S1", CR_SIGNAL_CONTEXT);
    callback(say, "T1", CR_THREAD_CONTEXT);
    callback(say, "S2", CR_SIGNAL_CONTEXT);
    callback(say, "T2", CR_THREAD_CONTEXT);
    pthread_t other = start(initialized_thread, "S3");
    await_mark("S3");
    ready();
    wait_go();
    pthread_join(other, NULL);
}

static int silent(void *name)
{
    event("silent %s", (const char *)name);
    return 0;
}

static void implied(void)
{
    callback(say, "S1", CR_SIGNAL_CONTEXT);
    callback(silent, "S2", CR_SIGNAL_CONTEXT);
    callback(silent, "T1", CR_THREAD_CONTEXT);
    ready();
    wait_go();
}

/* ---- hooks, hold ---- */

static void hook(cr_hook_event_t number)
{
    event("hook %d", (int)number);
}

static void hooks(void)
{
    for (int i = 0; i < CR_NUM_HOOKS; i++)
        need(cr_register_hook((cr_hook_event_t)i, hook) == NULL);
    need(cr_register_hook(CR_HOOK_CONT_NO_CALLBACKS, hook) == hook);
    callback(say, "S", CR_SIGNAL_CONTEXT);
    callback(say, "T", CR_THREAD_CONTEXT);
    pthread_t other = start(initialized_thread, NULL);
    await_mark("init");
    ready();
    wait_go();
    pthread_join(other, NULL);
}

static int slow_end(void *unused)
{
    (void)unused;
    int rc = cr_checkpoint(CR_CHECKPOINT_READY);
    long before = counter;
    usleep(300000);
    event("%s %s", rc ? "restart" : "continue", counter == before ? "held" : "ran");
    return 0;
}

static void hold(int flags)
{
    need(cr_hold_ctrl(CR_HOLD_SCOPE_UNINIT, CR_HOLD_READ) == CR_HOLD_BOTH);
    need(cr_hold_ctrl(CR_HOLD_SCOPE_UNINIT, flags) == CR_HOLD_BOTH);
    callback(slow_end, "", CR_THREAD_CONTEXT);
    pthread_t thread = start(worker, NULL);
    ready();
    wait_go();
    stop = true;
    pthread_join(thread, NULL);
}

/* ---- refusing ---- */

static int refuse(void *flags)
{
    int rc = cr_checkpoint((int)(intptr_t)flags);
    event("refused %d", rc);
    return 0;
}

/* A child that refuses by these flags, and a parent that does not. */
static void refusing_child(int flags)
{
    callback(say, "parent", CR_SIGNAL_CONTEXT);
    pid_t child = fork_child();
    if (!child) {
        need(cr_init() >= 0);
        need(cr_register_callback(refuse, (void *)(intptr_t)flags, CR_SIGNAL_CONTEXT) >= 0);
        mark("child");
        wait_go();
        _exit(0);
    }
    await_mark("child");
    ready();
    wait_go();
    int status;
    if (waitpid(child, &status, 0) == child)
        same("status of the child", status, 0);
    else
        event("no child");
}

static int not_zero(void *unused)
{
    (void)unused;
    return 1;
}

static void refusing_thread(int flags)
{
    callback(say, "S", CR_SIGNAL_CONTEXT);
    callback(say, "T1", CR_THREAD_CONTEXT);
    need(cr_register_callback(refuse, (void *)(intptr_t)flags, CR_THREAD_CONTEXT) >= 0);
    ready();
    wait_go();
}

/* ---- waiting ---- */

static void critical(void)
{
    cr_client_id_t id = cr_init();
    callback(say, "T", CR_THREAD_CONTEXT);
    need(cr_enter_cs(id) == 0 && cr_enter_cs(id) == 0 && cr_status() == CR_STATE_IDLE);
    ready();
    while (cr_status() != CR_STATE_PENDING && !go())
        victim_nap();
    event("pending");
    usleep(200000);
    need(cr_leave_cs(id) == 0);
    event("inner left");
    need(cr_leave_cs(id) == 0);
    event("left");
    wait_go();
    check(cr_status() == CR_STATE_IDLE, "state %d", cr_status());
}

static void *entering(void *unused)
{
    cr_client_id_t id = cr_init();
    need(id >= 0);
    mark("entering");
    while (cr_status() != CR_STATE_PENDING)
        victim_nap();
    check(cr_tryenter_cs(id) > 0, "a section began although a checkpoint was pending");
    mark("tried");
    check(cr_enter_cs(id) == 0, "%s", cr_strerror(errno));
    event("entered");
    check(cr_leave_cs(id) == 0, "%s", cr_strerror(errno));
    return unused;
}

/* No callbacks at all, but a critical section that has to be left, and another that may not begin. */
static void section_only(void)
{
    cr_client_id_t id = cr_init();
    pthread_t thread = start(entering, NULL);
    need(cr_tryenter_cs(id) == 0);
    await_mark("entering");
    ready();
    await_mark("tried");
    event("leaving");
    need(cr_leave_cs(id) == 0);
    pthread_join(thread, NULL);
    wait_go();
}

static void section_for_ever(void)
{
    cr_client_id_t id = cr_init();
    need(cr_enter_cs(id) == 0);
    ready();
    wait_go();
    need(cr_leave_cs(id) == 0);
}

static int hanging(void *name)
{
    mark("hanging");
    event("hanging %s", (const char *)name);
    while (!is_there("enough"))
        victim_nap();
    int rc = cr_checkpoint(CR_CHECKPOINT_READY);
    event("late %d", rc);
    mark("late");
    return 0;
}

static void hang(int context)
{
    callback(hanging, "callback", context);
    ready();
    wait_go();
}

/* ---- CR_SIGNUM ---- */

static _Atomic int own_signals;

static void own_handler(int number)
{
    (void)number;
    own_signals++;
}

static void *masked_thread(void *unused)
{
    sigset_t all, now;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    need(cr_init() >= 0);
    callback(say, "masked", CR_SIGNAL_CONTEXT);
    mark("masked");
    wait_go();
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    check(sigismember(&now, CR_SIGNUM) == 1, "the signal is no longer blocked");
    check(sigismember(&now, SIGUSR1) == 1, "another signal is no longer blocked");
    return unused;
}

static void signum(bool ignored)
{
    struct sigaction action = {.sa_handler = ignored ? SIG_IGN : own_handler}, now;
    callback(say, "S", CR_SIGNAL_CONTEXT);
    pthread_t thread = start(masked_thread, NULL);
    await_mark("masked");
    raise(CR_SIGNUM); /* none of libcr's business */
    need(sigaction(CR_SIGNUM, &action, NULL) == 0);
    ready();
    wait_go();
    need(sigaction(CR_SIGNUM, NULL, &now) == 0);
    check(now.sa_handler == action.sa_handler, "the program's handler is not there");
    same("own signals before", own_signals, 0);
    raise(CR_SIGNUM);
    same("own signals", own_signals, ignored ? 0 : 1);
    pthread_join(thread, NULL);
}

static void on_term(int number)
{
    event("signal %d", number);
}

/* ---- the rest ---- */

static int inform(void *unused)
{
    const struct cr_checkpoint_info *info = cr_get_checkpoint_info();
    (void)unused;
    need(info != NULL);
    check(cr_get_restart_info() == NULL && errno == CR_ENOTCB, "a restart before cr_checkpoint()");
    event("to %s by %s for %s scope %d signal %d", strrchr(info->dest, '/') ? strrchr(info->dest, '/') + 1 : "-",
          info->requester > 0 ? "somebody" : "nobody", info->target == getpid() ? "me" : "another", (int)info->scope,
          info->signal);
    int rc = cr_checkpoint(CR_CHECKPOINT_READY);
    const struct cr_restart_info *restart = cr_get_restart_info();
    check((rc > 0) == (restart != NULL), "rc %d", rc);
    if (restart)
        event("from %s by %s", strrchr(restart->src, '/') ? strrchr(restart->src, '/') + 1 : "-",
              restart->requester > 0 ? "somebody" : "nobody");
    return 0;
}

static void info(void)
{
    check(cr_get_checkpoint_info() == NULL && errno == CR_ENOTCB, "outside of a callback");
    callback(inform, "", CR_SIGNAL_CONTEXT);
    ready();
    wait_go();
}

static int once(void *name)
{
    event("+%s", (const char *)name);
    check(cr_replace_self(say, (void *)(uintptr_t) "other", CR_THREAD_CONTEXT) < 0 && errno == EINVAL, "other context");
    check(cr_replace_self(say, (void *)(uintptr_t) "second", CR_SIGNAL_CONTEXT) == 0, "%s", cr_strerror(errno));
    check(cr_register_callback(say, NULL, CR_SIGNAL_CONTEXT) < 0 && errno == EBUSY, "registered in a callback");
    check(cr_replace_callback(0 | CR_SIGNAL_CONTEXT, say, NULL, CR_SIGNAL_CONTEXT) < 0 && errno == EBUSY, "replaced");
    check(cr_enter_cs(CR_ID_CALLBACK) == 0 && cr_leave_cs(CR_ID_CALLBACK) == 0, "%s", cr_strerror(errno));
    check(cr_status() == CR_STATE_ACTIVE, "state %d", cr_status());
    check(cr_checkpoint(CR_CHECKPOINT_READY) >= 0, "the checkpoint failed");
    check(cr_checkpoint(CR_CHECKPOINT_READY) == -EINVAL, "called twice");
    return 0;
}

static void replace(void)
{
    cr_callback_id_t first = callback(say, "first", CR_SIGNAL_CONTEXT);
    cr_callback_id_t gone = callback(say, "gone", CR_SIGNAL_CONTEXT);
    callback(once, "once", CR_SIGNAL_CONTEXT);
    need(cr_replace_callback(first, say, (void *)(uintptr_t) "new", CR_SIGNAL_CONTEXT) == 0);
    need(cr_replace_callback(gone, NULL, NULL, CR_SIGNAL_CONTEXT) == 0);
    check(cr_replace_callback(first, say, NULL, CR_THREAD_CONTEXT) < 0 && errno == EINVAL, "other context");
    check(cr_replace_callback(first + 7, say, NULL, CR_SIGNAL_CONTEXT) < 0 && errno == EINVAL, "no such callback");
    check(cr_replace_self(say, NULL, CR_SIGNAL_CONTEXT) < 0 && errno == CR_ENOTCB, "outside of a callback");
    ready();
    wait_go();
}

static pid_t companion;

static int forward(void *unused)
{
    (void)unused;
    check(cr_forward_checkpoint(CR_SCOPE_PROC, 0) == 0, "self: %s", cr_strerror(errno));
    check(cr_forward_checkpoint((cr_scope_t)9, 0) < 0 && errno == EINVAL, "%s", cr_strerror(errno));
    check(cr_forward_checkpoint(CR_SCOPE_PROC, 4000000) < 0 && errno == ESRCH, "%s", cr_strerror(errno));
    check(cr_forward_checkpoint(CR_SCOPE_TREE, companion) == 0, "companion: %s", cr_strerror(errno));
    say((void *)(uintptr_t) "forwarder");
    check(cr_forward_checkpoint(CR_SCOPE_PROC, 0) < 0 && errno == CR_ENOTCB, "after cr_checkpoint()");
    return 0;
}

static void forwarding(void)
{
    check(cr_forward_checkpoint(CR_SCOPE_PROC, 0) < 0 && errno == CR_ENOTCB, "outside of a callback");
    companion = fork_child();
    if (!companion) {
        need(cr_init() >= 0);
        callback(say, "companion", CR_SIGNAL_CONTEXT);
        mark("companion");
        wait_go();
        _exit(0);
    }
    await_mark("companion");
    callback(forward, "", CR_THREAD_CONTEXT);
    ready();
    wait_go();
    reap(companion);
}

static void forked(void)
{
    cr_client_id_t id = cr_init();
    callback(say, "parent", CR_SIGNAL_CONTEXT);
    callback(say, "thread", CR_THREAD_CONTEXT);
    need(cr_enter_cs(id) == 0);
    pid_t child = fork_child();
    if (!child) {
        check(cr_status() < 0 && errno == CR_ENOINIT, "the child did not call cr_init()");
        mark("child");
        wait_go();
        _exit(victim_failures ? 1 : 0);
    }
    need(cr_leave_cs(id) == 0);
    await_mark("child");
    ready();
    wait_go();
    reap(child);
}

int main(int argc, char **argv)
{
    open_events();
    need(argc > 1 && cr_init() >= 0);
    const char *name = argv[1];
    struct {
        const char *name;
        void (*run)(void);
    } plain[] = {{"order", order},          {"implied", implied},
                 {"hooks", hooks},          {"info", info},
                 {"replace", replace},      {"forward", forwarding},
                 {"fork", forked},          {"critical", critical},
                 {"section", section_only}, {"section_for_ever", section_for_ever}};
    struct {
        const char *name;
        void (*run)(int);
        int value;
    } valued[] = {{"hold", hold, CR_HOLD_BOTH},
                  {"hold_none", hold, CR_HOLD_NONE},
                  {"hold_restart", hold, CR_HOLD_RSTRT},
                  {"omit", refusing_child, CR_CHECKPOINT_OMIT},
                  {"temp", refusing_child, CR_CHECKPOINT_TEMP_FAILURE},
                  {"temp_code", refusing_child, CR_CHECKPOINT_TEMP_FAILURE_CODE(77)},
                  {"perm", refusing_child, CR_CHECKPOINT_PERM_FAILURE},
                  {"perm_code", refusing_child, CR_CHECKPOINT_PERM_FAILURE_CODE(78)},
                  {"omit_thread", refusing_thread, CR_CHECKPOINT_OMIT},
                  {"temp_thread", refusing_thread, CR_CHECKPOINT_TEMP_FAILURE},
                  {"hang_thread", hang, CR_THREAD_CONTEXT},
                  {"hang_signal", hang, CR_SIGNAL_CONTEXT}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(name, plain[i].name)) {
            plain[i].run();
            finish();
        }
    for (size_t i = 0; i < sizeof valued / sizeof *valued; i++)
        if (!strcmp(name, valued[i].name)) {
            valued[i].run(valued[i].value);
            finish();
        }
    if (!strcmp(name, "signum") || !strcmp(name, "signum_ignored")) {
        signum(name[6] != '\0');
        finish();
    }
    if (!strcmp(name, "not_zero")) {
        callback(not_zero, "", CR_SIGNAL_CONTEXT);
        ready();
        wait_go();
    }
    if (!strcmp(name, "signal")) {
        need(signal(SIGTERM, on_term) != SIG_ERR);
        callback(slow_end, "", CR_THREAD_CONTEXT);
        ready();
        wait_go();
    }
    finish();
}
