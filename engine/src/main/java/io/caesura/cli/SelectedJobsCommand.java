package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.JobSelection;
import io.caesura.flow.JobViews;
import java.util.List;
import picocli.CommandLine.Mixin;

/** A command of cr_job that does something to the jobs that are named; without a name it guesses none. */
abstract class SelectedJobsCommand implements Subject {

    private final Console console;
    private final Services services;

    @Mixin
    private final SelectionOptions jobs = new SelectionOptions();

    @Mixin
    private final SchedulerOption scheduler = new SchedulerOption();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    SelectedJobsCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public final int run() throws CaesuraException, UsageException {
        EachJob each = new EachJob(console);
        run(scheduler.selection(services).select(jobs.required()), each);
        return each.status();
    }

    /** @param each counts what fails for one of them and lets the others have their turn */
    abstract void run(List<JobSelection.Selected> selected, EachJob each) throws CaesuraException;

    final Console console() {
        return console;
    }

    final JobViews views() {
        return SchedulerOption.views(services);
    }
}
