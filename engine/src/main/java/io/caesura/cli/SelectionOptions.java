package io.caesura.cli;

import io.caesura.scheduler.JobFilter;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Which jobs a command is about. */
@Section(value = "Which jobs", note = "Several of these together mean the jobs that meet all of them.")
final class SelectionOptions {

    @Parameters(paramLabel = "JOB", arity = "0..*", description = "Ids of jobs, such as 17 or 15_2.")
    private List<String> ids = new ArrayList<>();

    @Option(
            order = 1,
            names = {"-u", "--user"},
            paramLabel = "USER",
            description = "Jobs of this user.")
    private Optional<String> user = Optional.empty();

    @Option(
            order = 2,
            names = {"-p", "--partition"},
            paramLabel = "NAME",
            description = "Jobs in this partition.")
    private Optional<String> partition = Optional.empty();

    @Option(
            order = 3,
            names = {"-w", "--node"},
            paramLabel = "NAME",
            description = "Jobs that run on this node.")
    private Optional<String> node = Optional.empty();

    @Option(
            order = 4,
            names = {"-a", "--all"},
            description = "All jobs, whoever's they are.")
    private boolean all;

    private boolean isGiven() {
        return !ids.isEmpty() || user.isPresent() || partition.isPresent() || node.isPresent() || all;
    }

    private JobFilter filter() {
        return new JobFilter(ids, user, partition, node);
    }

    /** @throws UsageException if nothing is named: a command that changes jobs guesses none */
    JobFilter required() throws UsageException {
        if (!isGiven()) {
            throw new UsageException("JOB is missing, or one of --user, --partition, --node, --all");
        }
        return filter();
    }

    /** Without any option, the jobs of this user. */
    JobFilter orOwn(String self) {
        return isGiven() ? filter() : JobFilter.ofUser(self);
    }
}
