package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.Requeue;
import picocli.CommandLine.Option;

/** What has to be safe before a job's run is ended. */
@Section("Safety")
final class ForceOptions {

    @Option(
            order = 1,
            names = "--no-checkpoint",
            description =
                    "Ask for no checkpoint before. With cgroups a protected job still takes one when the scheduler ends it; "
                            + "another job starts from the beginning.")
    private boolean noCheckpoint;

    @Option(
            order = 2,
            names = "--force",
            description = "Go on if no checkpoint comes. What the job did since its last context is lost then.")
    private boolean force;

    Requeue.Terms terms(WaitOptions time) throws CaesuraException {
        return new Requeue.Terms(!noCheckpoint, force, time.limit());
    }
}
