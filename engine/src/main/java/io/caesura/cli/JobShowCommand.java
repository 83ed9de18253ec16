package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.JobView;
import io.caesura.scheduler.JobFilter;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** cr_job show. */
@Command(
        name = "show",
        customSynopsis = "cr_job show [--json] JOB...",
        description = "Shows all that is known of jobs: their state, their policy, and each of their contexts.")
@Section("What is printed")
final class JobShowCommand implements Subject {

    private final Console console;
    private final Services services;

    @Option(names = "--json", description = "An array with an object for each job, for programs.")
    private boolean json;

    @Parameters(paramLabel = "JOB", arity = "1..*", description = "Ids of jobs, such as 17 or 15_2.")
    private List<String> ids = new ArrayList<>();

    @Mixin
    private final SchedulerOption scheduler = new SchedulerOption();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    JobShowCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException {
        List<JobView> found = scheduler.look(services, JobFilter.ofIds(ids.toArray(new String[0])));
        JobText text = new JobText(console.out(), Instant.now());
        if (json) {
            text.showAsJson(found);
        } else {
            found.forEach(text::show);
        }
        return 0;
    }
}
