package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import java.time.Duration;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** cr_job policy: what a SPEC comes to, and which policies there are. */
@Command(
        name = "policy",
        customSynopsis = "cr_job policy [--brief] [SPEC]",
        description = "Prints what a SPEC of --checkpoint comes to.")
@Section("What is printed")
final class PolicyCommand implements Subject {

    private final Console console;
    private final Services services;

    @Option(
            order = 1,
            names = "--brief",
            description =
                    "One line for programs: resident=1 if the policy has a timer, else 0, and warning=SECONDS, how long "
                            + "before the time limit the job is checkpointed, or 0.")
    private boolean brief;

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    @Parameters(
            paramLabel = "SPEC",
            arity = "0..1",
            description = "A policy's name, key=value, or an interval, as --checkpoint takes it.")
    private String spec = Policies.DEFAULT;

    PolicyCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException {
        Policy policy = services.policies().resolve(spec);
        if (brief) {
            console.out().println("resident=" + (policy.isResident() ? 1 : 0) + " warning=" + warning(policy));
        }
        return 0;
    }

    /** In whole seconds, never less than asked for. */
    private static long warning(Policy policy) {
        return policy.limitWarning()
                .map(before -> before.plus(Duration.ofNanos(999_999_999)).toSeconds())
                .orElse(0L);
    }
}
