package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.Requeue;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** cr_job hold. */
@Command(
        name = "hold",
        customSynopsis = "cr_job hold [--no-checkpoint] [--force] SELECTION",
        description = "Checkpoints jobs, and then ends their runs and holds them; those that wait are held.")
final class JobHoldCommand implements Subject {

    private final Console console;
    private final Services services;

    @Mixin
    private final ForceOptions safety = new ForceOptions();

    @Mixin
    private final WaitOptions time = new WaitOptions();

    @Mixin
    private final SelectionOptions jobs = new SelectionOptions();

    @Mixin
    private final SchedulerOption scheduler = new SchedulerOption();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    JobHoldCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException, UsageException {
        Requeue requeue = new Requeue(SchedulerOption.views(services), safety.terms(time), console::say);
        List<Requeue.Begun> begun = new ArrayList<>();
        return new EachJob(console)
                .run(
                        scheduler.selection(services).select(jobs.required()),
                        selected -> begun.add(requeue.begin(selected.queue(), selected.job())))
                .run(begun, job -> {
                    requeue.finish(job, Requeue.Order.HOLD)
                            .ifPresent(path -> console.out().println(path));
                    console.say("job " + job.job().id() + " is " + Requeue.Order.HOLD.done());
                })
                .status();
    }
}
