package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.JobView;
import java.time.Instant;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** cr_job list. */
@Command(
        name = "list",
        customSynopsis = "cr_job list [--json] [SELECTION]",
        description = "Lists jobs with the number, age and size of their contexts; without a selection, your own jobs.")
@Section("What is printed")
final class JobListCommand implements Subject {

    private final Console console;
    private final Services services;

    @Option(names = "--json", description = "An array with an object for each job, for programs.")
    private boolean json;

    @Mixin
    private final SelectionOptions jobs = new SelectionOptions();

    @Mixin
    private final SchedulerOption scheduler = new SchedulerOption();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    JobListCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException {
        List<JobView> found =
                scheduler.look(services, jobs.orOwn(services.host().user()));
        JobText text = new JobText(console.out(), Instant.now());
        if (json) {
            text.listAsJson(found);
        } else {
            text.list(found);
        }
        return 0;
    }
}
