package io.caesura.cli;

import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** cr_job: jobs of the batch system and the policies that they are checkpointed by. What it does is in its subcommands. */
@Command(
        name = "cr_job",
        customSynopsis = "cr_job COMMAND [OPTIONS] [...]",
        description = "Works with the jobs of the batch system, and with checkpoint policies.")
final class JobCommand implements Subject {

    private final Console console;
    private final Services services;

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    JobCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public List<Subject> subcommands() {
        return List.of(
                new JobListCommand(console, services),
                new JobShowCommand(console, services),
                new JobCheckpointCommand(console, services),
                new JobLeaveCommand.ToQueue(console, services),
                new JobLeaveCommand.ToHold(console, services),
                new JobReleaseCommand(console, services),
                new JobCancelCommand(console, services),
                new JobDrainCommand(console, services),
                new PolicyCommand(console, services));
    }

    @Override
    public int run() throws UsageException {
        throw new UsageException("COMMAND is missing");
    }
}
