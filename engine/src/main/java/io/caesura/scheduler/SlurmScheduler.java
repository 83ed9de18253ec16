package io.caesura.scheduler;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Slurm, by its own commands and, where it was built, a program of ours that asks libslurm for what these do not show.
 *
 * <p>Jobs are named as users do (17, 15_2) or by the number that a job of an array has for itself (SLURM_JOB_ID). That of
 * one task of an array is the array's own, which to Slurm means all tasks, so every number is looked up first.
 */
public final class SlurmScheduler implements JobQueue {

    /** How long Slurm may take for an answer. Its own commands give up on a dead controller after some 10 seconds. */
    public static final Duration LIMIT = Duration.ofSeconds(30);

    private static final Pattern NUMBER = Pattern.compile("\\d{1,10}");
    private static final Pattern ID = Pattern.compile("\\d{1,10}(_(\\d{1,10}|\\[[0-9,%:-]{1,200}\\]))?(\\+\\d{1,10})?");

    /**
     * When a job that is still ending may start again. Slurm puts off a requeued job by cred_expire + 1 seconds when its end
     * is complete, unless its start then lies in the future: so it has to be longer than the end takes, epilog included.
     */
    private static final String AFTER_ITS_END = "now+10";

    private final ProgramRunner programs;
    private final Optional<Path> stateProgram;
    private final Optional<String> cluster;

    /**
     * @param stateProgram slurm-job-state; empty: there is none, and a job that ends just now shows as PENDING or OTHER
     *     only, not as CANCELLED, TIMEOUT or PREEMPTED
     * @param cluster as the environment names it; empty: Slurm is asked
     */
    SlurmScheduler(ProgramRunner programs, Optional<Path> stateProgram, Optional<String> cluster) {
        this.programs = programs;
        this.stateProgram = stateProgram;
        this.cluster = cluster;
    }

    /**
     * The Slurm that this environment leads to.
     *
     * @param prefix the installed tree
     * @param environment with SLURM_CONF, PATH and, where another cluster than the local one is meant, SLURM_CLUSTERS
     */
    public static SlurmScheduler of(Optional<Path> prefix, Map<String, String> environment) {
        Optional<String> chosen = Optional.ofNullable(environment.get("SLURM_CLUSTERS"));
        Optional<String> inJob = Optional.ofNullable(environment.get("SLURM_CLUSTER_NAME"));
        // libslurm asks the local cluster's controller, whatever SLURM_CLUSTERS says.
        Optional<Path> stateProgram = prefix.map(p -> p.resolve("libexec/caesura/slurm-job-state"))
                .filter(Files::isExecutable)
                .filter(p -> chosen.isEmpty());
        return new SlurmScheduler(
                new Command(forSlurm(environment), LIMIT), stateProgram, chosen.isPresent() ? chosen : inJob);
    }

    /** Without what users set to make Slurm's commands print, ask or leave out things as they like it. */
    static Map<String, String> forSlurm(Map<String, String> environment) {
        Map<String, String> passed = new HashMap<>(environment);
        passed.keySet().removeIf(name -> name.startsWith("SQUEUE_") || name.startsWith("SCANCEL_"));
        passed.remove("SCONTROL_ALL");
        passed.put("SLURM_TIME_FORMAT", "%s");
        return passed;
    }

    /** Whether there is a Slurm to talk to: its commands and a configuration. */
    public static boolean isConfigured(Map<String, String> environment) {
        boolean hasCommands = List.of(environment.getOrDefault("PATH", "").split(":", -1)).stream()
                .anyMatch(folder -> Files.isExecutable(Path.of(folder.isEmpty() ? "." : folder, "scontrol")));
        return hasCommands
                && (environment.containsKey("SLURM_CONF")
                        || environment.containsKey("SLURM_CONF_SERVER")
                        || List.of("/etc/slurm", "/etc/slurm-llnl", "/usr/local/etc", "/run/slurm/conf").stream()
                                .anyMatch(folder -> Files.isReadable(Path.of(folder, "slurm.conf"))));
    }

    @Override
    public String name() {
        return "slurm";
    }

    @Override
    public String cluster() throws CaesuraException {
        String name = cluster.isPresent() ? cluster.get() : askForCluster();
        return JobName.parse(name).value(); // it names a folder
    }

    private String askForCluster() throws CaesuraException {
        return SlurmOutput.cluster(run("scontrol", "show", "config"))
                .orElseThrow(() -> new CaesuraException(
                        ErrorCode.ESCHEDULER,
                        "Slurm does not tell its cluster's name",
                        "set ClusterName in slurm.conf"));
    }

    @Override
    public JobState state(String job) throws CaesuraException {
        if (stateProgram.isEmpty()) {
            return find(job).state();
        }
        String number = NUMBER.matcher(job).matches() ? job : find(job).folder();
        ProgramRunner.Outcome outcome = programs.run(List.of(stateProgram.get().toString(), number));
        if (outcome.status() != 0) {
            // It exits with the codes of the error table.
            boolean unknown = outcome.status() == ErrorCode.ENOJOB.code();
            throw new CaesuraException(
                    unknown ? ErrorCode.ENOJOB : ErrorCode.ESCHEDULER, reason("slurm-job-state", outcome));
        }
        JobState state = SlurmOutput.state(outcome.out());
        boolean isInGrace =
                state.base() == JobState.Base.RUNNING && state.preempted().isPresent();
        return isInGrace && !isRequeuedAfterPreemption(SlurmOutput.partition(outcome.out()))
                ? state.notRequeued()
                : state;
    }

    /** PreemptMode=CANCEL ends a job for good, also one that could be requeued. That of a QOS is not asked for. */
    private boolean isRequeuedAfterPreemption(String partition) throws CaesuraException {
        return SlurmOutput.requeuesPreempted(run("scontrol", "-o", "show", "partition", partition));
    }

    @Override
    public List<ListedJob> list(JobFilter filter) throws CaesuraException {
        List<String> command = new ArrayList<>(List.of("squeue", "--noheader", "--all", "--array"));
        command.add("--Format=" + SlurmOutput.FORMAT);
        if (!filter.ids().isEmpty()) {
            for (String id : filter.ids()) {
                requireId(id);
            }
            command.add("--jobs=" + String.join(",", filter.ids()));
        }
        filter.user().ifPresent(user -> command.add("--user=" + user));
        filter.partition().ifPresent(partition -> command.add("--partition=" + partition));
        filter.node().ifPresent(node -> command.add("--nodelist=" + node));
        List<ListedJob> jobs = SlurmOutput.jobs(run(command));
        for (String id : filter.ids()) {
            if (jobs.stream().noneMatch(job -> isMeant(job, id))) {
                throw new CaesuraException(
                        ErrorCode.ENOJOB, "job " + id + " has ended, or is not one of those asked for", "see squeue");
            }
        }
        return jobs;
    }

    private static boolean isMeant(ListedJob job, String id) {
        return job.id().equals(id)
                || job.folder().equals(id)
                || job.id().startsWith(id + "_")
                || job.id().startsWith(id + "+")
                || (id.endsWith("]") && job.id().startsWith(id.substring(0, id.indexOf('['))));
    }

    @Override
    public void requeue(String job) throws CaesuraException {
        run("scontrol", "requeue", find(job).id());
    }

    @Override
    public void hold(String job) throws CaesuraException {
        ListedJob found = find(job);
        // requeuehold refuses a job that waits, also one that a requeue has not ended yet; hold is for these alone.
        run("scontrol", found.state().base() == JobState.Base.PENDING ? "hold" : "requeuehold", found.id());
    }

    @Override
    public void release(String job) throws CaesuraException {
        run("scontrol", "release", find(job).id());
    }

    @Override
    public void startNow(String job) throws CaesuraException {
        ListedJob found = find(job);
        String start = found.word().equals("COMPLETING") ? AFTER_ITS_END : "now";
        run("scontrol", "update", "jobid=" + found.id(), "StartTime=" + start);
    }

    @Override
    public void cancel(String job) throws CaesuraException {
        // Looked up first also because scancel says nothing of a job that it does not know.
        run("scancel", find(job).id());
    }

    @Override
    public void askCheckpoint(String job) throws CaesuraException {
        // --batch: the signal goes to the task that Slurm started, which is our supervisor, and to nothing else.
        run("scancel", "--batch", "--signal=URG", find(job).id());
    }

    @Override
    public void drain(String node, String reason) throws CaesuraException {
        run("scontrol", "update", "nodename=" + node, "state=drain", "reason=" + reason);
    }

    /** One job, also one that has ended and is still remembered. */
    private ListedJob find(String job) throws CaesuraException {
        requireId(job);
        String jobs = run(
                "squeue",
                "--noheader",
                "--all",
                "--array",
                "--states=all",
                "--Format=" + SlurmOutput.FORMAT,
                "--jobs=" + job);
        List<ListedJob> found = SlurmOutput.jobs(jobs).stream()
                .filter(listed -> listed.id().equals(job) || listed.folder().equals(job))
                .toList();
        if (found.isEmpty()) {
            throw new CaesuraException(
                    ErrorCode.ENOJOB, "Slurm has no job " + job, "see squeue, or sacct for former jobs");
        }
        if (found.size() > 1) {
            // The tasks of an array that have not started have no numbers of their own yet.
            throw new CaesuraException(
                    ErrorCode.EINVAL,
                    "job " + job + " is an array of which several tasks wait",
                    "name each task: "
                            + found.stream().limit(3).map(ListedJob::id).collect(Collectors.joining(", ")));
        }
        return found.get(0);
    }

    private static void requireId(String job) throws CaesuraException {
        if (!ID.matcher(job).matches()) {
            throw new CaesuraException(
                    ErrorCode.EINVAL,
                    "not the id of a job: '" + job + "'",
                    "write it as squeue does, such as 17 or 15_2");
        }
    }

    private String run(String... command) throws CaesuraException {
        return run(List.of(command));
    }

    private String run(List<String> command) throws CaesuraException {
        ProgramRunner.Outcome outcome = programs.run(command);
        // squeue exits with 0 when it does not know a user.
        if (outcome.status() == 0 && !outcome.err().contains("error: Invalid user: ")) {
            return outcome.out();
        }
        String what = reason(command.get(0), outcome);
        if (what.contains("Invalid job id")) {
            throw new CaesuraException(ErrorCode.ENOJOB, what, "see squeue, or sacct for former jobs");
        }
        if (what.contains("permission denied") || what.contains("Invalid user id")) {
            throw new CaesuraException(
                    ErrorCode.EPERM, what, "you may do this with jobs of your own; operators may with all");
        }
        if (what.contains("Invalid user:") || what.contains("Invalid node name")) {
            throw new CaesuraException(ErrorCode.EINVAL, what, "check the name");
        }
        throw new CaesuraException(ErrorCode.ESCHEDULER, what);
    }

    /** What the program itself says of its failure. */
    private static String reason(String program, ProgramRunner.Outcome outcome) {
        String said = oneLine(outcome.err());
        if (said.isEmpty()) {
            said = oneLine(outcome.out());
        }
        return program + ": " + (said.isEmpty() ? "exit status " + outcome.status() : said);
    }

    private static String oneLine(String text) {
        return text.lines().map(String::strip).filter(line -> !line.isEmpty()).collect(Collectors.joining("; "));
    }
}
