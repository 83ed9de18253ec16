package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.model.CaptureResult;

/**
 * Where a context goes: prepared before the scope is frozen, written, then committed or aborted. Until commit() nothing
 * that existed before is changed, except by {@link ReplacePolicy#CLOBBER}.
 *
 * <p>All calls come from one thread, but abort() may come from any, at any time: a deadline or a signal ends a write.
 */
public interface ContextTarget extends AutoCloseable {

    /** Opens or makes what can be had before the processes are known, so that most failures disturb nobody. */
    void prepare() throws CaesuraException;

    /** Whether there is one file per process. */
    boolean isPerProcess();

    /**
     * Descriptors to write to.
     *
     * @param pids the processes, one file for each if {@link #isPerProcess()}; ignored otherwise
     */
    int[] open(int[] pids) throws CaesuraException;

    /** Makes what was written durable and then visible. Afterwards abort() does nothing. */
    void commit(CaptureResult result) throws CaesuraException;

    /** Removes what was written, unless it was committed. Idempotent; a later commit() fails. */
    void abort();

    /** The name that people know it by. */
    String name();

    /** The absolute path of the context when it is complete; empty if it is no file. Known after prepare(). */
    String path();

    /** Closes descriptors. It neither commits nor aborts. */
    @Override
    void close();
}
