package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import picocli.CommandLine.Option;

/** The signal for the processes afterwards. The last option of the group wins. */
@Section(value = "Signal sent to the processes afterwards (the last one given counts)")
final class SignalOptions {

    private static final int LAST_SIGNAL = 64;
    private static final int SIGABRT = 6;
    private static final int SIGKILL = 9;
    private static final int SIGTERM = 15;
    private static final int SIGCONT = 18;
    private static final int SIGSTOP = 19;

    private int signal;

    @Option(order = 1, names = "--run", description = "No signal: they run on (default).")
    void run(boolean given) {
        signal = 0;
    }

    @Option(
            order = 2,
            names = {"-S", "--signal"},
            paramLabel = "NUM",
            description = "Signal NUM, 1 to 64.")
    void number(int number) {
        signal = number > 0 ? number : Integer.MAX_VALUE;
    }

    @Option(order = 3, names = "--stop", description = "SIGSTOP.")
    void stop(boolean given) {
        signal = SIGSTOP;
    }

    @Option(order = 4, names = "--term", description = "SIGTERM.")
    void term(boolean given) {
        signal = SIGTERM;
    }

    @Option(order = 5, names = "--abort", description = "SIGABRT.")
    void abort(boolean given) {
        signal = SIGABRT;
    }

    @Option(order = 6, names = "--kill", description = "SIGKILL.")
    void kill(boolean given) {
        signal = SIGKILL;
    }

    @Option(order = 7, names = "--cont", description = "SIGCONT.")
    void cont(boolean given) {
        signal = SIGCONT;
    }

    /** BLCR stopped the processes a little earlier for a debugger; here every signal acts before they run on. */
    @Option(
            order = 8,
            names = {"--early-stop", "--freeze"},
            hidden = true)
    void earlyStop(boolean given) {
        signal = SIGSTOP;
    }

    @Option(order = 9, names = "--early-abrt", hidden = true)
    void earlyAbort(boolean given) {
        signal = SIGABRT;
    }

    /** 1 to 64, or 0 for none. */
    int signal() throws CaesuraException {
        if (signal > LAST_SIGNAL) {
            throw new CaesuraException(ErrorCode.EINVAL, "there is no such signal", "valid numbers are from 1 to 64");
        }
        return signal;
    }
}
