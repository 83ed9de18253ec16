/* callbacks.h - telling libcr in a restored process that it was restarted. */
#ifndef CAESURA_RESTORE_CALLBACKS_H
#define CAESURA_RESTORE_CALLBACKS_H

#include "restore/exchange.h"

/**
 * When memory and threads are there and nothing runs. The process then comes out of cr_checkpoint() in its callbacks; the signal
 * of the restart is left to it (build->signal_left), so that they are through before it comes.
 */
int callbacks_restarted(struct build *build, struct caesura_error *err);

#endif
