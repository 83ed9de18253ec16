/* hooks.c - hooks, and who waits for whom at the end of a checkpoint. */
#include "internal.h"

static cr_hook_fn_t hooks[CR_NUM_HOOKS];
static int hold_init = CR_HOLD_BOTH, hold_uninit = CR_HOLD_BOTH;

void hooks_reset(void)
{
    for (int i = 0; i < CR_NUM_HOOKS; i++)
        hooks[i] = NULL;
    hold_init = hold_uninit = CR_HOLD_BOTH;
}

void hook_run(cr_hook_event_t event)
{
    cr_hook_fn_t hook = __atomic_load_n(&hooks[event], __ATOMIC_SEQ_CST);
    if (hook)
        hook(event);
}

EXPORTED cr_hook_fn_t cr_register_hook(cr_hook_event_t event, cr_hook_fn_t function)
{
    if (!libcr_self || (int)event < 0 || event >= CR_NUM_HOOKS) {
        errno = libcr_self ? EINVAL : CR_ENOINIT;
        return CR_HOOK_FN_ERROR;
    }
    cr_hook_fn_t before = __atomic_exchange_n(&hooks[event], function, __ATOMIC_SEQ_CST);
    control_add(enrolled, (uint32_t)(function != NULL) - (uint32_t)(before != NULL));
    return before;
}

bool hold_wanted(bool restarted)
{
    int hold = !libcr_self ? hold_uninit : libcr_self->hold == CR_HOLD_DFLT ? hold_init : libcr_self->hold;
    return hold & (restarted ? CR_HOLD_RSTRT : CR_HOLD_CONT);
}

EXPORTED int cr_hold_ctrl(int scope, int flags)
{
    if (!libcr_self)
        return libcr_fail(CR_ENOINIT);
    int *setting = scope == CR_HOLD_SCOPE_THREAD   ? &libcr_self->hold
                   : scope == CR_HOLD_SCOPE_INIT   ? &hold_init
                   : scope == CR_HOLD_SCOPE_UNINIT ? &hold_uninit
                                                   : NULL;
    if (!setting || flags < CR_HOLD_READ || flags > CR_HOLD_DFLT)
        return libcr_fail(EINVAL);
    int before = *setting;
    if (flags != CR_HOLD_READ)
        *setting = flags == CR_HOLD_DFLT && scope != CR_HOLD_SCOPE_THREAD ? CR_HOLD_BOTH : flags;
    return before;
}
