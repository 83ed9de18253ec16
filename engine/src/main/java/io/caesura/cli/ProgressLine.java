package io.caesura.cli;

import io.caesura.capture.ProgressSink;
import io.caesura.model.ByteSize;

/**
 * Progress in one line of a terminal, from one second on. A thread of its own prints it: the terminal may be served by a
 * process that is frozen just now, and then the capture must not wait for it.
 */
final class ProgressLine implements ProgressSink, AutoCloseable {

    private static final long FIRST_AFTER_MS = 1000;
    private static final long STEP_MS = 500;

    private final Console console;
    private final Thread printer = new Thread(this::print, "progress");
    private volatile long doneBytes;
    private volatile long totalBytes;
    private volatile boolean ended;
    private volatile boolean shown;

    /** @param terminal false: nothing is ever shown */
    ProgressLine(Console console, boolean terminal) {
        this.console = console;
        if (terminal && !console.isQuiet()) {
            printer.setDaemon(true);
            printer.start();
        }
    }

    @Override
    public void progress(long done, long total) {
        doneBytes = done;
        totalBytes = total;
    }

    private void print() {
        try {
            Thread.sleep(FIRST_AFTER_MS);
            while (!ended) {
                if (totalBytes > 0) {
                    shown = true;
                    String text = ByteSize.format(doneBytes) + " of " + ByteSize.format(totalBytes);
                    console.part("\r" + console.command() + ": " + text + "\033[K");
                }
                Thread.sleep(STEP_MS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Takes the line away. Called when the scope runs again. */
    @Override
    public void close() {
        ended = true;
        printer.interrupt();
        if (shown) {
            console.part("\r\033[K");
        }
    }
}
