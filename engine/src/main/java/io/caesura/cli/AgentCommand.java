package io.caesura.cli;

import io.caesura.agent.Agent;
import io.caesura.agent.Link;
import io.caesura.error.CaesuraException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The engine beside a job; the supervisor starts it. */
@Command(
        name = "agent",
        customSynopsis = {
            "agent --spec SPEC [--name NAME] -- CMD...",
            "agent --restart DIR [--spec SPEC] [-- CMD...]",
            "agent --finish STATUS --restart DIR"
        },
        description = "Serves one run of a job; started by cr_run and cr-restore.")
@Section("Options")
final class AgentCommand implements Subject {

    private static final String DESCRIPTOR = "CAESURA_AGENT_FD";
    private static final String SUPERVISOR = "CAESURA_LAUNCHER_PID";

    private final Console console;
    private final Services services;
    private final Map<String, String> environment;

    @Option(names = "--spec", paramLabel = "SPEC", description = "The policy, as cr_run --checkpoint takes it.")
    private Optional<String> spec = Optional.empty();

    @Option(names = "--name", paramLabel = "NAME", description = "The job's name (default: HOST-PID-TIME).")
    private Optional<String> name = Optional.empty();

    @Option(names = "--restart", paramLabel = "DIR", description = "Folder of a job that goes on.")
    private Optional<String> restart = Optional.empty();

    @Option(
            names = "--finish",
            paramLabel = "STATUS",
            description = "The job of --restart ended with this wait status while no agent was there.")
    @Nullable
    private Integer finish;

    @Parameters(paramLabel = "CMD", arity = "0..*", description = "The job's command line.")
    private List<String> command = new ArrayList<>();

    AgentCommand(Console console, Services services, Map<String, String> environment) {
        this.console = console;
        this.services = services;
        this.environment = environment;
    }

    @Override
    public int run() throws CaesuraException, UsageException {
        if (spec.isEmpty() && restart.isEmpty()) {
            throw new UsageException("--spec is missing");
        }
        Agent agent = new Agent(
                services.engine(),
                services.files(),
                services.host(),
                services.policies(),
                services.jobs(),
                console::line);
        if (finish != null) {
            agent.finish(Path.of(restart.orElseThrow(() -> new UsageException("--restart is missing"))), finish);
            return 0;
        }
        int supervisor = number(SUPERVISOR);
        Link link = Link.to(services.files(), number(DESCRIPTOR));
        Agent.Order order = new Agent.Order(
                spec,
                name,
                restart.map(Path::of),
                List.copyOf(command),
                Path.of("").toAbsolutePath().toString(),
                supervisor);
        return agent.serve(order, link);
    }

    private int number(String variable) throws UsageException {
        String value = environment.getOrDefault(variable, "");
        if (!value.matches("\\d{1,9}")) {
            throw new UsageException(variable + " is not set: the agent is started by cr_run and cr-restore");
        }
        return Integer.parseInt(value);
    }
}
