package io.caesura.cli;

import io.caesura.agent.Agent;
import io.caesura.agent.BatchAgent;
import io.caesura.agent.Link;
import io.caesura.error.CaesuraException;
import io.caesura.policy.Policies;
import io.caesura.scheduler.BatchJob;
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
            "agent --finish STATUS --restart DIR",
            "agent --scheduler NAME --spec SPEC --key KEY --restarts N [--running] -- CMD..."
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

    @Option(names = "--scheduler", paramLabel = "NAME", description = "The batch system whose job this is.")
    private Optional<String> scheduler = Optional.empty();

    @Option(names = "--key", paramLabel = "KEY", description = "The batch job's, from its submission.")
    private String key = "";

    @Option(names = "--restarts", paramLabel = "N", description = "How often the batch job was started again.")
    private int restarts;

    @Option(names = "--running", description = "The batch job runs already.")
    private boolean running;

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
        Agent agent =
                new Agent(services.engine(), services.host(), services.policies(), services.jobs(), console::line);
        if (finish != null) {
            agent.finish(Path.of(restart.orElseThrow(() -> new UsageException("--restart is missing"))), finish);
            return 0;
        }
        int supervisor = number(SUPERVISOR);
        Link link = Link.to(services.files(), number(DESCRIPTOR));
        String folder = Path.of("").toAbsolutePath().toString();
        if (scheduler.isPresent()) {
            return serveBatch(scheduler.get(), link, folder, supervisor);
        }
        Agent.Order order =
                new Agent.Order(spec, name, restart.map(Path::of), List.copyOf(command), folder, supervisor);
        return agent.serve(order, link);
    }

    private int serveBatch(String name, Link link, String folder, int supervisor) throws CaesuraException {
        BatchAgent agent = new BatchAgent(
                services.engine(),
                services.host(),
                services.policies(),
                services.jobs(),
                services.scheduler(name),
                console::line);
        return agent.serve(
                new BatchAgent.Order(
                        BatchJob.of(name, environment),
                        spec.orElse(Policies.DEFAULT),
                        key,
                        restarts,
                        running,
                        List.copyOf(command),
                        folder,
                        supervisor),
                link);
    }

    private int number(String variable) throws UsageException {
        String value = environment.getOrDefault(variable, "");
        if (!value.matches("\\d{1,9}")) {
            throw new UsageException(variable + " is not set: the agent is started by cr_run and cr-restore");
        }
        return Integer.parseInt(value);
    }
}
