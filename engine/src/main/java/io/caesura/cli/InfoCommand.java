package io.caesura.cli;

import io.caesura.capture.Capture;
import io.caesura.capture.LogLevel;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureFlag;
import io.caesura.model.CaptureRequest;
import io.caesura.model.Scope;
import io.caesura.store.ContextFolder;
import io.caesura.store.RawFiles;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** cr_info: what is in a context, whether a process could be checkpointed, which jobs there are. */
@Command(
        name = "cr_info",
        customSynopsis = {
            "cr_info [--json] {FILE | -d DIR}",
            "cr_info --check PID [-T | -p | -g | -s]",
            "cr_info --jobs"
        },
        description = "Shows what a context holds, whether processes could be checkpointed, or the jobs of this host.")
@Section("What is shown")
final class InfoCommand implements Subject {

    private final Console console;
    private final Services services;

    @Option(
            order = 1,
            names = {"-d", "--dir"},
            paramLabel = "DIR",
            description = "The context in this folder, one file context.PID per process.")
    @Nullable
    private Path folder;

    @Option(order = 2, names = "--json", description = "All of it, as JSON.")
    private boolean json;

    @Option(
            order = 3,
            names = "--check",
            paramLabel = "PID",
            description =
                    "Whether this could be checkpointed now. Each obstacle is printed, with its process, descriptor and "
                            + "remedy. Nothing is written, and the processes stand still for some milliseconds only.")
    @Nullable
    private Integer check;

    @Option(order = 4, names = "--jobs", description = "The jobs of the local scheduler, and their contexts.")
    private boolean jobs;

    @Option(
            order = 5,
            names = {"-q", "--quiet"},
            description = "Print no messages to stderr.")
    private boolean quiet;

    @Mixin
    private final ScopeOptions scope = new ScopeOptions();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    @Parameters(paramLabel = "FILE", arity = "0..1", description = "A context file, or a folder as for -d.")
    @Nullable
    private Path file;

    InfoCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException, UsageException {
        console.setQuiet(quiet);
        long tasks = Stream.of(file != null, folder != null, check != null, jobs)
                .filter(given -> given)
                .count();
        if (tasks != 1) {
            throw new UsageException(tasks == 0 ? "FILE is missing" : "more than one of FILE, -d, --check and --jobs");
        }
        if (check != null) {
            return check(check);
        }
        if (jobs) {
            new JobTable(services).print(console.out());
            return 0;
        }
        Path path = Objects.requireNonNull(folder != null ? folder : file);
        return describe(Files.isDirectory(path) ? ContextFolder.files(path) : List.of(path));
    }

    private int describe(List<Path> paths) throws CaesuraException {
        RawFiles raw = services.files();
        List<Integer> open = new ArrayList<>();
        try {
            for (Path path : paths) {
                open.add(raw.openAt(RawFiles.AT_FDCWD, path.toString(), RawFiles.O_RDONLY, 0));
            }
            String text = services.engine()
                    .describe(open.stream().mapToInt(Integer::intValue).toArray());
            if (json) {
                console.out().println(text);
            } else {
                new ContextTable(text).print(console.out(), paths);
            }
            return 0;
        } finally {
            open.forEach(raw::close);
        }
    }

    private int check(int id) throws CaesuraException {
        Set<CaptureFlag> flags = EnumSet.of(CaptureFlag.CHECK_ONLY);
        CaptureRequest request = new CaptureRequest(
                new Scope(scope.kind(), id),
                flags,
                services.host().ownPid(),
                Duration.ZERO,
                CaptureRequest.DEFAULT_COPY_LIMIT_BYTES,
                List.of(),
                null);
        List<String> obstacles = new ArrayList<>();
        List<String> warnings = new ArrayList<>();
        try (Capture capture = services.engine().open(request, (level, line) -> {
            if (level == LogLevel.REFUSAL) {
                obstacles.add(line);
            } else if (level == LogLevel.WARNING) {
                warnings.add("warning: " + line);
            }
        })) {
            capture.release();
        } catch (CaesuraException e) {
            if (e.code() != ErrorCode.EUNSUPPORTED) {
                throw e;
            }
            if (obstacles.isEmpty()) {
                obstacles.add(e.getMessage() + "; " + e.remedy());
            }
        }
        warnings.forEach(console.out()::println);
        obstacles.forEach(console.out()::println);
        if (!obstacles.isEmpty()) {
            return ErrorCode.EUNSUPPORTED.code();
        }
        console.out().println(request.scope() + " can be checkpointed");
        return 0;
    }
}
