package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.CheckpointRequest;
import io.caesura.flow.JobSelection;
import io.caesura.flow.JobViews;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** cr_job checkpoint. */
@Command(
        name = "checkpoint",
        customSynopsis = "cr_job checkpoint [--no-wait] [--timeout SEC] SELECTION",
        description = "Asks jobs for a checkpoint, waits until it is complete, and prints where it is. The jobs go on.")
@Section("Checkpoint")
final class JobCheckpointCommand extends SelectedJobsCommand {

    @Option(names = "--no-wait", description = "Only ask.")
    private boolean noWait;

    @Mixin
    private final WaitOptions time = new WaitOptions();

    JobCheckpointCommand(Console console, Services services) {
        super(console, services);
    }

    @Override
    void run(List<JobSelection.Selected> selected, EachJob each) throws CaesuraException {
        Duration limit = time.limit();
        JobViews views = views();
        List<CheckpointRequest> asked = new ArrayList<>();
        each.run(selected, one -> asked.add(CheckpointRequest.ask(views, one.queue(), one.job())));
        if (!noWait) {
            each.run(asked, request -> report(request, limit));
        }
    }

    private void report(CheckpointRequest request, Duration limit) throws CaesuraException {
        if (request.hidden().isPresent()) {
            // Nothing failed: an operator may well be allowed to ask, and not to look.
            console()
                    .say("job " + request.job().id() + " was asked for a checkpoint; the outcome cannot be seen: "
                            + request.hidden().get());
            return;
        }
        console().out().println(request.await(limit));
    }
}
