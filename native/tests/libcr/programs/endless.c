/* endless.c - a callback that never comes back after the checkpoint. */
#include "events.h"

static int endless(void *unused)
{
    (void)unused;
    cr_checkpoint(CR_CHECKPOINT_READY);
    for (;;)
        pause();
    return 0;
}

int main(void)
{
    open_events();
    need(cr_init() >= 0);
    callback(endless, "", CR_SIGNAL_CONTEXT);
    ready();
    wait_go();
    finish();
}
