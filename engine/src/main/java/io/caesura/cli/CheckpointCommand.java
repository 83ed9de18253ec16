package io.caesura.cli;

import io.caesura.capture.LogLevel;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.Checkpoint;
import io.caesura.flow.Host;
import io.caesura.flow.JobCheckpoint;
import io.caesura.model.ByteSize;
import io.caesura.model.CaptureFlag;
import io.caesura.model.CaptureRequest;
import io.caesura.model.CaptureResult;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.model.Scope;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.store.ContextTarget;
import io.caesura.store.JobFolder;
import io.caesura.store.RawFiles;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** cr_checkpoint: BLCR's command. */
@Command(
        name = "cr_checkpoint",
        customSynopsis = {"cr_checkpoint [options] ID", "cr_checkpoint [options] --job NAME"},
        description = "Checkpoints a process with its descendants, a process, a process group, a session, or a job.")
@Section("General options")
final class CheckpointCommand implements Subject {

    private static final int STDERR = 2;
    private static final Duration PATIENCE = Duration.ofMinutes(1);

    private final Console console;
    private final Services services;
    private final AtomicReference<ContextTarget> target = new AtomicReference<>();

    @Option(
            order = 1,
            names = {"-v", "--verbose"},
            description = "Print progress messages to stderr.")
    private boolean verbose;

    @Option(
            order = 2,
            names = {"-q", "--quiet"},
            description = "Print no messages to stderr.")
    private boolean quiet;

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    @Mixin
    private final ScopeOptions scope = new ScopeOptions();

    @Mixin
    private final JobOption job = new JobOption();

    @Mixin
    private final DestinationOptions destination = new DestinationOptions();

    @Mixin
    private final ReplaceOptions replace = new ReplaceOptions();

    @Mixin
    private final SignalOptions signal = new SignalOptions();

    @Mixin
    private final FileOptions files = new FileOptions();

    @Mixin
    private final SaveOptions save = new SaveOptions();

    @Mixin
    private final TracingOptions tracing = new TracingOptions();

    @Mixin
    private final CallbackOptions callbacks = new CallbackOptions();

    @Mixin
    private final LogOptions log = new LogOptions();

    @Mixin
    private final TimeOption time = new TimeOption();

    @Parameters(paramLabel = "ID", arity = "0..1", description = "A pid, process group or session.")
    @Nullable
    private Integer id;

    CheckpointCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException, UsageException {
        console.setQuiet(quiet);
        if ((id == null) == job.name().isEmpty()) {
            throw new UsageException(id == null ? "ID is missing" : "ID and --job together");
        }
        time.check();
        if (verbose) {
            log.showAlways(LogLevel.DEBUG);
        }
        boolean failed = true;
        ProgressLine progress = new ProgressLine(console, services.files().isTerminal(STDERR));
        Thread cleaner = new Thread(this::abort, "cleaner");
        Runtime.getRuntime().addShutdownHook(cleaner);
        try (Deadline deadline = Deadline.arm(time.limit(), this::giveUp)) {
            Checkpoint checkpoint = new Checkpoint(services.engine(), log, progress);
            CaptureResult result = job.name().isPresent() ? checkpointJob(checkpoint) : checkpointId(checkpoint);
            failed = false;
            tellResult(result);
            return 0;
        } finally {
            progress.close();
            log.print(console, failed);
            Runtime.getRuntime().removeShutdownHook(cleaner);
        }
    }

    private CaptureResult checkpointId(Checkpoint checkpoint) throws CaesuraException {
        int wanted = id == null ? 0 : id;
        CaptureRequest request = new CaptureRequest(
                new Scope(scope.kind(), wanted),
                flags(),
                services.host().ownPid(),
                time.limit(),
                files.copyLimitBytes(),
                files.tracked(),
                null,
                callbacks.facts());
        ContextTarget chosen = destination.target(services.files(), "context." + wanted, replace, files.isSync());
        announce(chosen);
        return checkpoint.run(request, chosen, signal.signal());
    }

    private CaptureResult checkpointJob(Checkpoint checkpoint) throws CaesuraException {
        RawFiles raw = services.files();
        Host host = services.host();
        JobName name = JobName.parse(job.name().orElseThrow());
        try (JobFolder folder = services.jobs().open(name)) {
            RunIdentity run = folder.run()
                    .orElseThrow(
                            () -> new CaesuraException(ErrorCode.ENOJOB, "job '" + name + "' has not started yet"));
            Optional<JobFacts> facts = folder.facts();
            Policies policies = services.policies();
            Policy policy = facts.isPresent() ? policies.recorded(facts.get().policy()) : policies.ground();
            JobCheckpoint jobs = new JobCheckpoint(checkpoint, policy, host);
            if (destination.isGiven()) {
                try (JobFolder.Lock lock = folder.lockWithin(patience())) {
                    host.requireAlive(run, name);
                    ContextTarget chosen = destination.target(raw, "context." + name, replace, files.isSync());
                    announce(chosen);
                    return checkpoint.run(jobs.request(folder, run), chosen, signal.signal());
                }
            }
            JobCheckpoint.Done done = jobs.run(folder, run, demand(), this::announce);
            console.out().println(folder.contextPath(done.sequence()));
            return done.result();
        }
    }

    private JobCheckpoint.Demand demand() throws CaesuraException {
        int number = signal.signal();
        return new JobCheckpoint.Demand(
                "request", patience(), number == 0 ? Optional.empty() : Optional.of(() -> number));
    }

    /** A timer's checkpoint may be under way just now; it is waited for, within the time limit that was given. */
    private Duration patience() {
        return time.limit().isZero() || time.limit().compareTo(PATIENCE) > 0 ? PATIENCE : time.limit();
    }

    private Set<CaptureFlag> flags() {
        Set<CaptureFlag> flags = EnumSet.noneOf(CaptureFlag.class);
        save.addTo(flags);
        tracing.addTo(flags);
        callbacks.addTo(flags);
        return flags;
    }

    private void announce(ContextTarget chosen) {
        target.set(chosen);
        if (verbose) {
            console.out().println("targetfile='" + chosen.name() + "'");
        }
    }

    private void tellResult(CaptureResult result) {
        if (verbose) {
            console.say("%d processes, %d threads, %s written, stopped for %.1f ms"
                    .formatted(
                            result.processes(),
                            result.threads(),
                            ByteSize.format(result.totalBytes()),
                            result.pause().toNanos() / 1e6));
        }
    }

    private void abort() {
        ContextTarget open = target.get();
        if (open != null) {
            open.abort();
        }
    }

    /**
     * The time limit ran out. The capturing thread may hang in a system call, so the process ends without asking it; the
     * kernel then lets the scope run on.
     */
    private void giveUp() {
        abort();
        Duration limit = time.limit();
        console.failure(new CaesuraException(
                ErrorCode.ETIMEDOUT, "the checkpoint was not complete after " + limit.toSeconds() + " s"));
        Runtime.getRuntime().halt(ErrorCode.ETIMEDOUT.code());
    }
}
