/* api.c - what the interface answers when no checkpoint is near: results, errors, constants. */
#include <dlfcn.h>

#include "events.h"

#define fails(call, why)                                                                                    \
    do {                                                                                                    \
        errno = 0;                                                                                          \
        long rc_ = (long)(call);                                                                            \
        check(rc_ == -1 && errno == (why), #call " gave %ld with %d (%s)", rc_, errno, cr_strerror(errno)); \
    } while (0)

static void before_init(void)
{
    fails(cr_status(), CR_ENOINIT);
    fails(cr_enter_cs(0), CR_ENOINIT);
    fails(cr_tryenter_cs(0), CR_ENOINIT);
    fails(cr_leave_cs(0), CR_ENOINIT);
    fails(cr_register_callback(say, NULL, CR_SIGNAL_CONTEXT), CR_ENOINIT);
    fails(cr_replace_callback(0, say, NULL, CR_SIGNAL_CONTEXT), CR_ENOINIT);
    fails(cr_replace_self(say, NULL, CR_SIGNAL_CONTEXT), CR_ENOINIT);
    fails(cr_register_hook(CR_HOOK_CONT_NO_CALLBACKS, NULL), CR_ENOINIT);
    fails(cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_READ), CR_ENOINIT);
    fails(cr_inc_persist(), CR_ENOINIT);
    fails(cr_dec_persist(), CR_ENOINIT);
    fails(cr_forward_checkpoint(CR_SCOPE_PROC, 0), CR_ENOINIT);
    check(cr_get_checkpoint_info() == NULL && errno == CR_ENOINIT, "%d", errno);
    check(cr_get_restart_info() == NULL && errno == CR_ENOINIT, "%d", errno);
    same("cr_checkpoint() outside of a callback", cr_checkpoint(CR_CHECKPOINT_READY), -CR_ENOTCB);
}

static void sections(cr_client_id_t id)
{
    same("status", cr_status(), CR_STATE_IDLE);
    fails(cr_enter_cs(id + 1), EINVAL);
    fails(cr_enter_cs(CR_ID_CALLBACK), EINVAL);
    fails(cr_leave_cs(id), EINVAL);
    same("enter", cr_enter_cs(id), 0);
    same("enter again", cr_tryenter_cs(id), 0);
    same("leave", cr_leave_cs(id), 0);
    same("leave again", cr_leave_cs(id), 0);
    fails(cr_leave_cs(id), EINVAL);
}

static void callbacks(void)
{
    fails(cr_register_callback(say, NULL, 0), EINVAL);
    fails(cr_register_callback(say, NULL, CR_SIGNAL_CONTEXT | CR_THREAD_CONTEXT), EINVAL);
    cr_callback_id_t signal_id = cr_register_callback(say, NULL, CR_SIGNAL_CONTEXT);
    cr_callback_id_t thread_id = cr_register_callback(say, NULL, CR_THREAD_CONTEXT);
    check(signal_id >= 0 && thread_id >= 0 && signal_id != thread_id, "%d and %d", signal_id, thread_id);
    fails(cr_replace_callback(signal_id, say, NULL, CR_THREAD_CONTEXT), EINVAL);
    fails(cr_replace_callback(-1, say, NULL, CR_SIGNAL_CONTEXT), EINVAL);
    same("replace", cr_replace_callback(thread_id, NULL, NULL, CR_THREAD_CONTEXT), 0);
    fails(cr_replace_self(say, NULL, CR_SIGNAL_CONTEXT), CR_ENOTCB);
}

static void hold_and_hooks(void)
{
    fails(cr_hold_ctrl(17, CR_HOLD_READ), EINVAL);
    fails(cr_hold_ctrl(CR_HOLD_SCOPE_INIT, 5), EINVAL);
    same("thread's hold", cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, CR_HOLD_CONT), CR_HOLD_DFLT);
    same("thread's hold", cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, CR_HOLD_READ), CR_HOLD_CONT);
    same("hold", cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_NONE), CR_HOLD_BOTH);
    same("hold", cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_DFLT), CR_HOLD_NONE);
    same("hold", cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_READ), CR_HOLD_BOTH);
    check(cr_register_hook(CR_NUM_HOOKS, NULL) == CR_HOOK_FN_ERROR && errno == EINVAL, "a hook of no event");
    check(cr_register_hook(CR_HOOK_RSTRT_NO_CALLBACKS, NULL) == NULL, "a hook that nobody registered");
}

static cr_spinlock_t lock = CR_SPINLOCK_INITIALIZER;
static long shared;

static void *locker(void *unused)
{
    for (int i = 0; i < 20000; i++) {
        cr_spinlock_lock(&lock);
        shared = shared + 1;
        cr_spinlock_unlock(&lock);
    }
    return unused;
}

static void spinlocks(void)
{
    pthread_t threads[3];

    cr_spinlock_init(&lock);
    check(cr_spinlock_trylock(&lock), "a free lock");
    check(!cr_spinlock_trylock(&lock), "a lock that is held");
    cr_spinlock_unlock(&lock);
    for (int i = 0; i < 3; i++)
        need(pthread_create(&threads[i], NULL, locker, NULL) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    same("count under the lock", shared, 60000);
}

/* A destructor of the program's that still uses the library, which it told so. */
static pthread_key_t key;
static _Atomic int seen_in_destructor;

static void destructor(void *unused)
{
    (void)unused;
    seen_in_destructor = cr_status() == CR_STATE_IDLE ? 1 : 2;
    cr_dec_persist();
}

static void *persistent(void *unused)
{
    need(cr_init() >= 0);
    same("persist", cr_inc_persist(), 0);
    same("persist", cr_inc_persist(), 1);
    same("persist", cr_dec_persist(), 2);
    pthread_setspecific(key, &key);
    return unused;
}

static void persist(void)
{
    pthread_t thread;

    /* Ours is made after the library's, so its destructor runs later. */
    need(pthread_key_create(&key, destructor) == 0);
    need(pthread_create(&thread, NULL, persistent, NULL) == 0);
    pthread_join(thread, NULL);
    same("in the destructor", seen_in_destructor, 1);
    fails(cr_dec_persist(), ERANGE);
}

static void strings(void)
{
    same_text("an errno", cr_strerror(ENOENT), strerror(ENOENT));
    for (int code = CR_MIN_ERRCODE + 1; code < CR_MAX_ERRCODE; code++)
        for (int other = CR_MIN_ERRCODE + 1; other < code; other++)
            check(strcmp(cr_strerror(code), cr_strerror(other)) != 0, "%d and %d have the same words", code, other);
    check(strstr(cr_strerror(CR_ENOINIT), "cr_init"), "%s", cr_strerror(CR_ENOINIT));
    same("codes", CR_ETEMPFAIL, 2354);
    same("codes", CR_ENOINIT, 2365);
    same("own code", CR_CHECKPOINT_TEMP_FAILURE_CODE(0x12345), 0x23450001);
}

static void arguments(void)
{
    cr_checkpoint_args_t args;
    cr_restart_args_t restart;
    cr_checkpoint_handle_t handle = 3;
    struct timeval now = {0};

    fails(cri_init_checkpoint_args_t(2, &args), EINVAL);
    fails(cri_init_restart_args_t(0, &restart), EINVAL);
    same("init", cr_initialize_checkpoint_args_t(&args), 0);
    check(args.cr_target == 0 && args.cr_fd == -1 && !args.cr_signal && !args.cr_timeout && !args.cr_flags, "defaults");
    fails(cr_request_checkpoint(&args, &handle), EINVAL); /* no scope */
    args.cr_scope = CR_SCOPE_TREE;
    fails(cr_request_checkpoint(&args, &handle), EBADF);
    args.cr_fd = CR_DEST_CWD;
    args.cr_flags = CR_CHKPT_PROHIBIT_SELF;
    fails(cr_request_checkpoint(&args, &handle), EDEADLK);
    args.cr_flags = 0;
    args.cr_target = 4000000;
    fails(cr_request_checkpoint(&args, &handle), ESRCH);
    args.cr_version = 3;
    fails(cr_request_checkpoint(&args, &handle), EINVAL);
    handle = 3;
    fails(cr_wait_checkpoint(&handle, &now), EINVAL);
    fails(cr_reap_checkpoint(&handle), EINVAL);
    fails(cr_log_checkpoint(&handle, 0, NULL), EINVAL);
    same("poll", cr_poll_checkpoint(&handle, &now), CR_POLL_CHKPT_ERR_PRE);
    same("init", cr_initialize_restart_args_t(&restart), 0);
    same("flags", restart.cr_flags, CR_RSTRT_RESTORE_PID);
    fails(cr_request_restart(&restart, &handle), EBADF);
    fails(cr_wait_restart(&handle, &now), EINVAL);
    fails(cr_reap_restart(&handle), EINVAL);
    fails(cr_log_restart(&handle, 0, NULL), EINVAL);
    same("poll", cr_poll_restart_msg(&handle, &now, NULL), CR_POLL_RSTRT_ERR_PRE);
}

int main(void)
{
    open_events();
    before_init();
    cr_client_id_t id = cr_init();
    check(id >= 0 && cr_init() == id, "id %d", id);
    check(dlsym(RTLD_DEFAULT, "cr_link_me") != NULL, "no cr_link_me");
    sections(id);
    callbacks();
    hold_and_hooks();
    spinlocks();
    persist();
    strings();
    arguments();
    ready();
    wait_go();
    finish();
}
