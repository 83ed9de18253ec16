package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.CheckpointRequest;
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
final class JobCheckpointCommand implements Subject {

    private final Console console;
    private final Services services;

    @Option(names = "--no-wait", description = "Only ask.")
    private boolean noWait;

    @Mixin
    private final WaitOptions time = new WaitOptions();

    @Mixin
    private final SelectionOptions jobs = new SelectionOptions();

    @Mixin
    private final SchedulerOption scheduler = new SchedulerOption();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    JobCheckpointCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException, UsageException {
        Duration limit = time.limit();
        JobViews views = SchedulerOption.views(services);
        List<CheckpointRequest> asked = new ArrayList<>();
        EachJob each = new EachJob(console)
                .run(
                        scheduler.selection(services).select(jobs.required()),
                        selected -> asked.add(CheckpointRequest.ask(views, selected.queue(), selected.job())));
        if (!noWait) {
            each.run(asked, request -> report(request, limit));
        }
        return each.status();
    }

    private void report(CheckpointRequest request, Duration limit) throws CaesuraException {
        if (request.hidden().isPresent()) {
            // Nothing failed: an operator may well be allowed to ask, and not to look.
            console.say("job " + request.job().id() + " was asked for a checkpoint; the outcome cannot be seen: "
                    + request.hidden().get());
            return;
        }
        console.out().println(request.await(limit));
    }
}
