package io.caesura.capture;

/** Takes the library's log lines. Called on the capturing thread, perhaps while the scope is frozen: it must not block. */
@FunctionalInterface
public interface LogSink {
    void log(LogLevel level, String line);
}
