package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.ContextTrust;
import io.caesura.flow.FindContext;
import io.caesura.flow.HookClass;
import io.caesura.flow.Relocation;
import io.caesura.flow.RestartPlan;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.store.JobFolder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** cr_restart: BLCR's command. It checks and plans; the launcher then becomes cr-restore, which does the work. */
@Command(
        name = "cr_restart",
        customSynopsis = {
            "cr_restart [options] FILE",
            "cr_restart [options] {-f FILE | -F FD | -d DIR}",
            "cr_restart [options] --job NAME"
        },
        description = "Restarts processes from a context, and stays as their parent until the eldest ends.")
@Section("General options")
final class RestartCommand implements Subject {

    private final Console console;
    private final Services services;
    private final PlanOutput output;

    @Option(
            order = 1,
            names = {"-q", "--quiet"},
            description = "Print no messages to stderr.")
    private boolean quiet;

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Option(
            order = 2,
            names = {"-?", "-h", "--help"},
            usageHelp = true,
            description = "Print this message and exit.")
    private boolean help;

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Option(
            order = 3,
            names = {"-v", "--version"},
            versionHelp = true,
            description = "Print the version and exit.")
    private boolean version;

    @Mixin
    private final SourceOptions source = new SourceOptions();

    @Mixin
    private final JobOption job = new JobOption();

    @Mixin
    private final RestoreOptions restore = new RestoreOptions();

    @Mixin
    private final RestoreFileOptions files = new RestoreFileOptions();

    @Mixin
    private final SignalOptions signal = new SignalOptions();

    @Mixin
    private final HookOptions hooks = new HookOptions();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final OmitOptions omit = new OmitOptions();

    @Mixin
    private final LogOptions log = new LogOptions();

    @Parameters(paramLabel = "FILE", arity = "0..1", description = "A context file.")
    @Nullable
    private Path operand;

    RestartCommand(Console console, Services services, PlanOutput output) {
        this.console = console;
        this.services = services;
        this.output = output;
    }

    @Override
    public int run() throws CaesuraException, UsageException {
        console.setQuiet(quiet);
        boolean argumentsGood = false;
        try {
            requireOneSource();
            List<Relocation> relocations = files.relocations();
            int number = signal.signal();
            String namespace = restore.namespace();
            if (job.name().isPresent()) {
                argumentsGood = true;
                output.write(planOfJob(relocations, number, namespace).arguments());
                return 0;
            }
            List<String> contexts =
                    source.files(Optional.ofNullable(operand).map(Path::toString), ContextTrust.ofThisUser());
            argumentsGood = true;
            output.write(plan(contexts, files.aside(), Optional.empty(), relocations, number, namespace)
                    .arguments());
            return 0;
        } catch (CaesuraException e) {
            boolean isArgument = !argumentsGood && e.code() != ErrorCode.EUNTRUSTED;
            Optional<Integer> status = hooks.run(isArgument ? HookClass.FAIL_ARGS : HookClass.of(e.code()));
            if (status.isPresent()) {
                return status.get();
            }
            throw e;
        }
    }

    @Override
    public Optional<Integer> onUsageError() throws CaesuraException {
        return hooks.run(HookClass.FAIL_ARGS);
    }

    private void requireOneSource() throws CaesuraException, UsageException {
        int sources = source.given() + (job.name().isPresent() ? 1 : 0);
        if (sources > 1) {
            throw new CaesuraException(
                    ErrorCode.EINVAL, "more than one context", "give one of FILE, -f, -F, -d and --job");
        }
        if ((sources == 0) == (operand == null)) {
            throw new UsageException(sources == 0 ? "FILE is missing" : "FILE and another context together");
        }
    }

    private RestartPlan planOfJob(List<Relocation> relocations, int number, String namespace) throws CaesuraException {
        JobName name = JobName.parse(job.name().orElseThrow());
        ContextTrust trust = ContextTrust.ofThisUser();
        try (JobFolder folder = services.jobs().open(name)) {
            Optional<RunIdentity> run = folder.run();
            if (run.isPresent()) {
                services.host().requireDead(run.get(), name);
            }
            FindContext.Found found = new FindContext(services.engine(), console::say).newestGood(folder);
            List<String> contexts = new ArrayList<>();
            for (Path file : found.files()) {
                trust.requireFile(file);
                contexts.add(file.toString());
            }
            Optional<String> aside = files.aside()
                    .or(() -> Optional.of(folder.contextPath(found.sequence())
                            .resolve("aside")
                            .toString()));
            return plan(contexts, aside, Optional.of(folder.path().toString()), relocations, number, namespace);
        }
    }

    private RestartPlan plan(
            List<String> contexts,
            Optional<String> aside,
            Optional<String> jobFolder,
            List<Relocation> relocations,
            int number,
            String namespace) {
        return new RestartPlan(
                contexts,
                source.descriptor(),
                namespace,
                restore.ids(),
                number,
                relocations,
                hooks.forRestore(),
                aside,
                jobFolder,
                files.isAllowChanged(),
                quiet,
                log.isAlways());
    }
}
