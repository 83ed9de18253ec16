package io.caesura.capture;

import io.caesura.error.CaesuraException;
import io.caesura.model.CaptureResult;

/**
 * A frozen scope. Every call has to come from the thread that opened it, as the kernel ties the scope to that thread; an
 * implementation throws IllegalStateException for others. close() lets the scope go on if release() has not.
 */
public interface Capture extends AutoCloseable {

    /** Pids of the processes that have a file of their own when there is one file per process, in the order of the files. */
    int[] pids();

    /**
     * Writes the context.
     *
     * @param descriptors open for writing: one for a single file, or one per entry of {@link #pids()}
     */
    void write(int[] descriptors, ProgressSink progress) throws CaesuraException;

    /** Queues a signal (1 to 64) for every process of the scope; it acts when the scope is let go. */
    void signal(int signal) throws CaesuraException;

    /** Lets the scope go on, or meet its signal. */
    void release();

    /** Costs so far; the pause is complete after {@link #release()}. */
    CaptureResult result();

    @Override
    void close();
}
