package io.caesura.scheduler;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.commons.exec.CommandLine;
import org.apache.commons.exec.DefaultExecutor;
import org.apache.commons.exec.ExecuteWatchdog;
import org.apache.commons.exec.PumpStreamHandler;
import org.apache.commons.exec.Watchdog;
import org.jspecify.annotations.Nullable;

/** Programs run by Commons Exec, with a time limit. Thread-safe: nothing is kept between two runs. */
public final class Command implements ProgramRunner {

    /** How long the output of a program that has ended is waited for. */
    private static final Duration REST_OF_OUTPUT = Duration.ofSeconds(2);

    private final Map<String, String> environment;
    private final Duration limit;

    /**
     * @param environment of the programs, PATH included
     * @param limit after which a program is killed with all its children
     */
    public Command(Map<String, String> environment, Duration limit) {
        this.environment = Map.copyOf(environment);
        this.limit = limit;
    }

    @Override
    public Outcome run(List<String> command) throws CaesuraException {
        CommandLine line = new CommandLine(command.get(0));
        // Without false, Commons Exec puts quotes around an argument with blanks, and the program sees them.
        command.subList(1, command.size()).forEach(argument -> line.addArgument(argument, false));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        TreeWatchdog watchdog = new TreeWatchdog(limit);
        PumpStreamHandler streams = new PumpStreamHandler(out, err);
        // A child in the background may hold the pipes open after its parent's end: that is an error, not an answer.
        streams.setStopTimeout(REST_OF_OUTPUT);
        DefaultExecutor executor =
                DefaultExecutor.builder().setExecuteStreamHandler(streams).get();
        executor.setWatchdog(watchdog);
        // Every status is an answer: what it means is the caller's business.
        executor.setExitValues(null);
        int status;
        try {
            status = executor.execute(line, environment);
        } catch (IOException e) {
            throw new CaesuraException(
                    ErrorCode.ESCHEDULER,
                    "cannot run " + command.get(0) + ": " + e.getMessage(),
                    "check that the batch system's commands are installed and in PATH");
        }
        if (watchdog.hasExpired()) {
            throw new CaesuraException(
                    ErrorCode.ESCHEDULER,
                    "'%s' did not end within %d s and was killed"
                            .formatted(String.join(" ", command), limit.toSeconds()));
        }
        return new Outcome(status, text(out), text(err));
    }

    private static String text(ByteArrayOutputStream bytes) {
        return bytes.toString(StandardCharsets.UTF_8);
    }

    /**
     * Kills a process and its descendants when time is up. The one of Commons Exec kills the process alone; its children
     * then hold the output pipes open, and the caller waits for them without end.
     */
    private static final class TreeWatchdog extends ExecuteWatchdog {

        @Nullable
        private ProcessHandle root;

        private boolean expired;

        @SuppressWarnings("deprecation") // the builder that is to take its place cannot build a subclass
        TreeWatchdog(Duration limit) {
            super(limit.toMillis());
        }

        @Override
        public synchronized void start(Process process) {
            root = process.toHandle();
            super.start(process);
        }

        @Override
        public synchronized void timeoutOccured(Watchdog watchdog) {
            if (root != null && root.isAlive()) {
                expired = true;
                // Looked up before the first one dies: an orphan would no longer be a descendant.
                List<ProcessHandle> tree =
                        Stream.concat(Stream.of(root), root.descendants()).toList();
                tree.forEach(ProcessHandle::destroyForcibly);
            }
            super.timeoutOccured(watchdog);
        }

        synchronized boolean hasExpired() {
            return expired;
        }
    }
}
