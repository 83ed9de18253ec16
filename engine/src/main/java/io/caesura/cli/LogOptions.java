package io.caesura.cli;

import io.caesura.capture.LogLevel;
import io.caesura.capture.LogSink;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/**
 * Whether the log lines of the request are shown. They are kept until the scope runs on, as stderr may lead to a pipe that a
 * frozen process reads.
 */
@Section(
        value = "Log messages of the request (the last one given counts)",
        note = "They are printed to stderr, each with '- ' in front, unless --quiet is given.")
final class LogOptions implements LogSink {

    private enum Show {
        NEVER,
        ON_FAILURE,
        ALWAYS
    }

    private final List<String> lines = new ArrayList<>();
    private Show show = Show.ON_FAILURE;
    private LogLevel least = LogLevel.INFO;

    @Option(order = 1, names = "--kmsg-none", description = "Never show them.")
    void none(boolean given) {
        show = Show.NEVER;
    }

    @Option(order = 2, names = "--kmsg-error", description = "Show them if the request fails (default).")
    void error(boolean given) {
        show = Show.ON_FAILURE;
    }

    @Option(order = 3, names = "--kmsg-warning", description = "Show them in any case.")
    void warning(boolean given) {
        show = Show.ALWAYS;
    }

    boolean isAlways() {
        return show == Show.ALWAYS;
    }

    void showAlways(LogLevel leastLevel) {
        show = Show.ALWAYS;
        least = leastLevel;
    }

    @Override
    public void log(LogLevel level, String line) {
        if (level.compareTo(least) >= 0) {
            lines.add(line);
        }
    }

    void print(Console console, boolean failed) {
        if (show == Show.ALWAYS || (show == Show.ON_FAILURE && failed)) {
            lines.forEach(line -> console.line("- " + line));
        }
        lines.clear();
    }
}
