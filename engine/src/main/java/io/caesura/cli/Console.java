package io.caesura.cli;

import io.caesura.error.CaesuraException;
import java.io.PrintStream;

/** Where a command prints. Messages of a command that is quiet are dropped; what it was asked to print is not. */
public final class Console {

    private final PrintStream out;
    private final PrintStream err;
    private final String command;
    private boolean quiet;

    public Console(String command, PrintStream out, PrintStream err) {
        this.command = command;
        this.out = out;
        this.err = err;
    }

    public String command() {
        return command;
    }

    public PrintStream out() {
        return out;
    }

    void setQuiet(boolean quiet) {
        this.quiet = quiet;
    }

    boolean isQuiet() {
        return quiet;
    }

    /** A line on stderr, as it is. */
    void line(String text) {
        if (!quiet) {
            err.println(text);
        }
    }

    /** Part of a line on stderr, shown at once. */
    void part(String text) {
        if (!quiet) {
            err.print(text);
            err.flush();
        }
    }

    /** A message with the command's name in front. */
    void say(String text) {
        line(command + ": " + text);
    }

    /** What failed, and what to do about it. */
    void failure(CaesuraException failure) {
        say(failure.getMessage());
        if (!failure.remedy().isEmpty()) {
            line("hint: " + failure.remedy());
        }
    }
}
