package io.caesura.scheduler;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * OpenPBS and PBS Pro, by their own commands.
 *
 * <p>The owner of a job may not requeue it (qrerun is for operators). So a job's own engine leaves a file in the job's
 * runtime folder, and when the run has ended the epilogue hook has PBS queue the job again; see docs/pbs.md.
 */
public final class PbsScheduler implements JobQueue {

    /** How long PBS may take for an answer. */
    public static final Duration LIMIT = Duration.ofSeconds(30);

    private static final Pattern ID =
            Pattern.compile("\\d{1,20}(\\[\\d{0,20}\\])?(\\.[A-Za-z0-9][A-Za-z0-9._-]{0,250})?");

    /** In the runtime folder: the epilogue hook is to queue the job again. */
    private static final String REQUEUE = "requeue";

    /** After the runtime folder's name: the job was deleted, which PBS shows only where MoM has a terminate action. */
    private static final String DELETED = ".deleted";

    /** MoM's answer to a hold where its checkpoint_abort action leaves the work to us. The hold is set all the same. */
    private static final String HOLD_NOT_TAKEN = "15061";

    /**
     * The job that this engine is part of.
     *
     * @param id as the job sees it
     * @param runtime folder that the launch hook made for this run
     */
    record Own(String id, Path runtime) {}

    private final ProgramRunner programs;
    private final String folder;
    private final Optional<Own> own;

    /**
     * @param folder of PBS's commands, with a slash at its end; empty: they are in PATH
     * @param own empty outside of a job
     */
    PbsScheduler(ProgramRunner programs, String folder, Optional<Own> own) {
        this.programs = programs;
        this.folder = folder;
        this.own = own;
    }

    /** The PBS that this environment leads to: PBS_CONF_FILE or /etc/pbs.conf, and inside of a job what the hook has set. */
    public static PbsScheduler of(Map<String, String> environment) {
        Optional<Own> own = Optional.ofNullable(environment.get("PBS_JOBID"))
                .flatMap(id -> Optional.ofNullable(environment.get("CAESURA_RUNTIME"))
                        .filter(runtime -> runtime.startsWith("/"))
                        .map(runtime -> new Own(id, Path.of(runtime))));
        String folder = installed(environment).map(exec -> exec + "/bin/").orElse("");
        return new PbsScheduler(new Command(forPbs(environment), LIMIT), folder, own);
    }

    /** With times and messages as they are in C, whatever the user's language. */
    static Map<String, String> forPbs(Map<String, String> environment) {
        Map<String, String> passed = new HashMap<>(environment);
        passed.put("LC_ALL", "C");
        // It adds options of the user's to qsub alone, but qstat has one of its own.
        passed.remove("PBS_QSTAT_EXECVNODE_VALUE");
        return passed;
    }

    /** PBS_EXEC of the environment or the configuration; empty if there is none. */
    static Optional<String> installed(Map<String, String> environment) {
        String named = environment.getOrDefault("PBS_EXEC", "");
        if (!named.isEmpty()) {
            return Optional.of(named);
        }
        Path file = Path.of(environment.getOrDefault("PBS_CONF_FILE", "/etc/pbs.conf"));
        try {
            return Files.readAllLines(file).stream()
                    .map(String::strip)
                    .filter(line -> line.startsWith("PBS_EXEC="))
                    .map(line -> line.substring("PBS_EXEC=".length()).strip())
                    .filter(value -> value.startsWith("/"))
                    .findFirst();
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    /** Whether there is a PBS to talk to. */
    public static boolean isConfigured(Map<String, String> environment) {
        return installed(environment)
                .filter(exec -> Files.isExecutable(Path.of(exec, "bin/qstat")))
                .isPresent();
    }

    @Override
    public String name() {
        return BatchJob.PBS;
    }

    @Override
    public String cluster() throws CaesuraException {
        String name = PbsOutput.server(run("qstat", "-B", "-f", "-F", "json"))
                .orElseThrow(() -> new CaesuraException(
                        ErrorCode.ESCHEDULER, "PBS does not tell its server's name", "look at what qstat -B prints"));
        return JobName.parse(name).value(); // it names a folder
    }

    @Override
    public JobState state(String job) throws CaesuraException {
        PbsOutput.Shown shown = find(job);
        JobState state = shown.job().state();
        boolean wasDeleted = ownFolder(shown.id())
                .map(runtime -> Path.of(runtime + DELETED))
                .filter(mark -> Files.exists(mark, LinkOption.NOFOLLOW_LINKS))
                .isPresent();
        if (wasDeleted) {
            return new JobState(
                    JobState.Base.CANCELLED,
                    state.restartCount(),
                    Optional.empty(),
                    Optional.empty(),
                    state.requeueable());
        }
        return shown.heldByPeople() ? state.asHeld() : state;
    }

    @Override
    public List<ListedJob> list(JobFilter filter) throws CaesuraException {
        List<String> command = new ArrayList<>(List.of("qstat", "-t", "-f", "-F", "json"));
        for (String id : filter.ids()) {
            requireId(id);
            command.add(id);
        }
        List<PbsOutput.Shown> jobs = jobs(command);
        for (String id : filter.ids()) {
            if (jobs.stream().noneMatch(shown -> isMeant(shown.id(), id))) {
                throw new CaesuraException(ErrorCode.ENOJOB, "job " + id + " has ended", "see qstat -x");
            }
        }
        List<ListedJob> listed = new ArrayList<>();
        Map<String, Integer> userIds = new HashMap<>();
        for (PbsOutput.Shown shown : jobs) {
            ListedJob job = shown.job();
            if (filter.user().filter(user -> !user.equals(job.user())).isEmpty()
                    && filter.partition()
                            .filter(queue -> !queue.equals(job.partition()))
                            .isEmpty()
                    && filter.node().filter(node -> !runsOn(job.nodes(), node)).isEmpty()) {
                listed.add(withUserId(job, userIds));
            }
        }
        return listed;
    }

    /** PBS knows users by name alone. */
    private ListedJob withUserId(ListedJob job, Map<String, Integer> known) throws CaesuraException {
        Integer id = known.get(job.user());
        if (id == null) {
            ProgramRunner.Outcome outcome = programs.run(List.of("id", "-u", "--", job.user()));
            String text = outcome.out().strip();
            // A server's user need not be known on every node; then no folder is his either.
            id = outcome.status() == 0 && text.matches("\\d{1,10}") ? Integer.parseUnsignedInt(text) : -1;
            known.put(job.user(), id);
        }
        return job.withUserId(id);
    }

    /** exec_host is n1/0*2+n2/0. */
    private static boolean runsOn(String hosts, String node) {
        return List.of(hosts.split("\\+", -1)).stream()
                .anyMatch(host -> host.equals(node) || host.startsWith(node + "/"));
    }

    /** Whether an id of PBS is meant by what somebody wrote: the server's name may be left out, an array stands for all. */
    private static boolean isMeant(String id, String written) {
        return id.equals(written)
                || PbsOutput.shortId(id).equals(PbsOutput.shortId(written))
                || (written.contains("[]") && id.startsWith(written.substring(0, written.indexOf('[') + 1)));
    }

    @Override
    public void requeue(String job) throws CaesuraException {
        Optional<Path> runtime = ownFolder(job);
        if (runtime.isPresent()) {
            askEpilogue(runtime.get());
        } else {
            run("qrerun", required(job));
        }
    }

    @Override
    public void hold(String job) throws CaesuraException {
        PbsOutput.Shown shown = find(job);
        if (!shown.heldByPeople()) {
            List<String> command = List.of(folder + "qhold", shown.id());
            ProgramRunner.Outcome outcome = programs.run(command);
            if (outcome.status() != 0 && !outcome.err().contains(HOLD_NOT_TAKEN)) {
                throw refused("qhold", outcome);
            }
        }
        Optional<Path> runtime = ownFolder(shown.id());
        if (runtime.isPresent()) {
            askEpilogue(runtime.get());
        } else if (shown.job().isRunning()) {
            // Its engine finds the hold, saves the job and leaves.
            askCheckpoint(shown.id());
        }
    }

    @Override
    public void release(String job) throws CaesuraException {
        run("qrls", required(job));
    }

    /** PBS does not put off a job that it has queued again. */
    @Override
    public void startNow(String job) {}

    @Override
    public void cancel(String job) throws CaesuraException {
        run("qdel", required(job));
    }

    @Override
    public void askCheckpoint(String job) throws CaesuraException {
        // MoM sends it to every process of the session, where only our supervisor does not ignore it.
        run("qsig", "-s", "URG", required(job));
    }

    @Override
    public void drain(String node, String reason) throws CaesuraException {
        run("pbsnodes", "-o", "-C", reason, node);
    }

    private Optional<Path> ownFolder(String job) {
        return own.filter(mine -> isMeant(mine.id(), job)).map(Own::runtime);
    }

    private static void askEpilogue(Path runtime) throws CaesuraException {
        Path file = runtime.resolve(REQUEUE);
        try {
            Files.createFile(file);
        } catch (FileAlreadyExistsException e) {
            // It was asked for before.
        } catch (IOException e) {
            throw new CaesuraException(
                    ErrorCode.ESCHEDULER,
                    "cannot ask for a requeue: " + file + ": " + e.getMessage(),
                    "the administrator's log of MoM says what happened to the folder");
        }
    }

    private PbsOutput.Shown find(String job) throws CaesuraException {
        requireId(job);
        return jobs(List.of("qstat", "-x", "-f", "-F", "json", job)).stream()
                .filter(shown -> isMeant(shown.id(), job))
                .findFirst()
                .orElseThrow(() -> new CaesuraException(ErrorCode.ENOJOB, "PBS has no job " + job, "see qstat -x"));
    }

    private List<PbsOutput.Shown> jobs(List<String> command) throws CaesuraException {
        return PbsOutput.jobs(run(command), Instant.now(), ZoneId.systemDefault());
    }

    private static String required(String job) throws CaesuraException {
        requireId(job);
        return job;
    }

    private static void requireId(String job) throws CaesuraException {
        if (!ID.matcher(job).matches()) {
            throw new CaesuraException(
                    ErrorCode.EINVAL,
                    "not the id of a job: '" + job + "'",
                    "write it as qstat does, such as 17, 17.server or 15[2]");
        }
    }

    private String run(String... command) throws CaesuraException {
        return run(List.of(command));
    }

    private String run(List<String> command) throws CaesuraException {
        List<String> line = new ArrayList<>(command);
        line.set(0, folder + command.get(0));
        ProgramRunner.Outcome outcome = programs.run(line);
        if (outcome.status() == 0) {
            return outcome.out();
        }
        throw refused(command.get(0), outcome);
    }

    private static CaesuraException refused(String program, ProgramRunner.Outcome outcome) {
        String said = (outcome.err().isBlank() ? outcome.out() : outcome.err())
                .lines()
                .map(String::strip)
                .filter(line -> !line.isEmpty())
                .collect(Collectors.joining("; "));
        String what = said.isEmpty() ? program + ": exit status " + outcome.status() : said;
        if (said.contains("Unknown Job Id") || said.contains("Unknown queue")) {
            return new CaesuraException(ErrorCode.ENOJOB, what, "see qstat -x");
        }
        if (said.contains("Unauthorized Request")) {
            return new CaesuraException(
                    ErrorCode.EPERM,
                    what,
                    "PBS leaves this to operators; the owner of a job can hold and release it instead");
        }
        return new CaesuraException(ErrorCode.ESCHEDULER, what);
    }
}
