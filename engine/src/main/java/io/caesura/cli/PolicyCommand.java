package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** cr_job policy: what a SPEC comes to, and which policies there are. */
@Command(
        name = "policy",
        customSynopsis = {"cr_job policy [SPEC]", "cr_job policy --brief SPEC", "cr_job policy --list"},
        description = "Prints what a SPEC of --checkpoint comes to, or the policies there are.")
@Section("What is printed")
final class PolicyCommand implements Subject {

    /** The command line of a plugin, less the SPEC. */
    static final List<String> BRIEF = List.of("cr_job", "policy", "--brief");

    private final Console console;
    private final Services services;

    @Option(
            order = 1,
            names = "--brief",
            paramLabel = "SPEC",
            description =
                    "One line for programs: resident=1 if the policy has a timer, else 0, and warning=SECONDS, how long "
                            + "before the time limit the job is checkpointed, or 0.")
    @Nullable
    private String brief;

    @Option(order = 2, names = "--list", description = "The policies there are, and the folder that each is in.")
    private boolean list;

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    @Parameters(
            paramLabel = "SPEC",
            arity = "0..1",
            description = "A policy's name, key=value, or an interval, as --checkpoint takes it (default: default).")
    @Nullable
    private String spec;

    PolicyCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException, UsageException {
        if (Stream.of(list, brief != null, spec != null).filter(given -> given).count() > 1) {
            throw new UsageException("more than one of SPEC, --brief and --list");
        }
        if (list) {
            list(services.policies().list());
        } else if (brief != null) {
            brief(brief);
        } else {
            Policies policies = services.policies();
            String asked = spec == null ? Policies.DEFAULT : spec;
            console.out().print(new PolicyText(policies.explain(asked)).render(policies.defaultStore()));
        }
        return 0;
    }

    /** What --brief prints. */
    void brief(String asked) throws CaesuraException {
        Policy policy = services.policies().resolve(asked);
        console.out().println("resident=" + (policy.isResident() ? 1 : 0) + " warning=" + warning(policy));
    }

    private void list(List<Policies.Named> policies) {
        TextTable table = new TextTable("NAME", "FOLDER", "DESCRIPTION");
        for (Policies.Named policy : policies) {
            table.add(
                    policy.name(),
                    policy.folder(),
                    policy.isGood() ? policy.description() : "REFUSED: " + policy.description());
        }
        table.print(console.out());
    }

    /** In whole seconds, never less than asked for. */
    private static long warning(Policy policy) {
        return policy.limitWarning()
                .map(before -> before.plus(Duration.ofNanos(999_999_999)).toSeconds())
                .orElse(0L);
    }
}
