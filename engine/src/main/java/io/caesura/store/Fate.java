package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Decides once whether a target is committed or aborted. The deadline's thread and the hook that runs when a signal ends
 * the JVM race with the commit; whoever comes second has lost.
 */
final class Fate {

    private enum State {
        OPEN,
        COMMITTED,
        ABORTED
    }

    private final AtomicReference<State> state = new AtomicReference<>(State.OPEN);

    void commit(String target) throws CaesuraException {
        if (!state.compareAndSet(State.OPEN, State.COMMITTED)) {
            throw new CaesuraException(
                    ErrorCode.ETIMEDOUT, "the checkpoint to " + target + " was given up before it was complete");
        }
    }

    /** True for the one caller that has to clean up. */
    boolean abort() {
        return state.compareAndSet(State.OPEN, State.ABORTED);
    }
}
