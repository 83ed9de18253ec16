package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.time.Duration;
import picocli.CommandLine.Option;

/** How long a checkpoint is waited for. */
@Section("Time")
final class WaitOptions {

    @Option(
            names = {"-t", "--timeout"},
            paramLabel = "SEC",
            description = "Wait at most SEC seconds for the checkpoints to be complete (default: 600).")
    private int seconds = 600;

    Duration limit() throws CaesuraException {
        if (seconds < 1) {
            throw new CaesuraException(
                    ErrorCode.EINVAL, "a time limit of " + seconds + " s", "give a number of seconds, from 1");
        }
        return Duration.ofSeconds(seconds);
    }
}
