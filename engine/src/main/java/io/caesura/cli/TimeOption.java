package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.time.Duration;
import picocli.CommandLine.Option;

/** A limit for the whole checkpoint. */
@Section("Time")
final class TimeOption {

    @Option(
            names = {"-t", "--time"},
            paramLabel = "SEC",
            description = "Give up after SEC seconds; the processes run on (default: 0, never).")
    private int seconds;

    /** Zero: no limit. */
    Duration limit() {
        return Duration.ofSeconds(Math.max(seconds, 0));
    }

    /** @throws CaesuraException EINVAL if the limit is negative */
    void check() throws CaesuraException {
        if (seconds < 0) {
            throw new CaesuraException(
                    ErrorCode.EINVAL, "a time limit cannot be negative", "give seconds, or 0 for no limit");
        }
    }
}
