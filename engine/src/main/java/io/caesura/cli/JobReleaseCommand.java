package io.caesura.cli;

import io.caesura.error.CaesuraException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** cr_job release. */
@Command(
        name = "release",
        customSynopsis = "cr_job release SELECTION",
        description = "Lets held jobs start; those with a context go on from it.")
final class JobReleaseCommand implements Subject {

    private final Console console;
    private final Services services;

    @Mixin
    private final SelectionOptions jobs = new SelectionOptions();

    @Mixin
    private final SchedulerOption scheduler = new SchedulerOption();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    JobReleaseCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException, UsageException {
        return new EachJob(console)
                .run(scheduler.selection(services).select(jobs.required()), selected -> {
                    selected.queue().release(selected.job().id());
                    console.say("job " + selected.job().id() + " is released");
                })
                .status();
    }
}
