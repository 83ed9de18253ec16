package io.caesura.capture;

/** Takes the progress of a write, in bytes, at most about ten times a second, on the capturing thread. */
@FunctionalInterface
public interface ProgressSink {
    /** @param totalBytes what is known so far; it may grow */
    void progress(long doneBytes, long totalBytes);
}
