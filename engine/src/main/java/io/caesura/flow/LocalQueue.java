package io.caesura.flow;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.scheduler.JobFilter;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.JobState;
import io.caesura.scheduler.ListedJob;
import io.caesura.store.JobFolder;
import io.caesura.store.JobStore;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** This user's jobs of the local scheduler: `cr_run --checkpoint` without a batch system, on this host. */
public final class LocalQueue implements JobQueue {

    private final CaptureEngine engine;
    private final Policies policies;
    private final Jobs jobs;
    private final Host host;

    public LocalQueue(CaptureEngine engine, Policies policies, Jobs jobs, Host host) {
        this.engine = engine;
        this.policies = policies;
        this.jobs = jobs;
        this.host = host;
    }

    @Override
    public String name() {
        return "local";
    }

    @Override
    public String cluster() {
        return JobStore.LOCAL;
    }

    /** The state of a job's current run in a word or two. */
    public static String word(Host host, Optional<RunIdentity> run) {
        if (run.isEmpty()) {
            return "new";
        }
        Integer ended = run.get().ended();
        if (ended != null) {
            return (ended & 0x7f) == 0 ? "ended " + (ended >> 8) : "signal " + (ended & 0x7f);
        }
        if (host.isAlive(run.get())) {
            return "running";
        }
        return run.get().bootId().equals(host.bootId())
                ? "lost"
                : "on " + run.get().host();
    }

    @Override
    public List<ListedJob> list(JobFilter filter) throws CaesuraException {
        List<ListedJob> listed = new ArrayList<>();
        for (JobStore store : jobs.stores(JobStore.LOCAL)) {
            for (JobName name : store.jobs()) {
                Optional<JobFolder> folder = store.open(name);
                if (folder.isPresent()) {
                    try (JobFolder open = folder.get()) {
                        listed.add(listed(open));
                    }
                }
            }
        }
        for (String id : filter.ids()) {
            if (listed.stream().noneMatch(job -> job.id().equals(id))) {
                throw new CaesuraException(ErrorCode.ENOJOB, "no job '" + id + "'", "list the jobs with cr_job list");
            }
        }
        return listed.stream().filter(job -> isMeant(job, filter)).toList();
    }

    private static boolean isMeant(ListedJob job, JobFilter filter) {
        return (filter.ids().isEmpty() || filter.ids().contains(job.id()))
                && filter.user().filter(user -> !user.equals(job.user())).isEmpty()
                && filter.node().filter(node -> !node.equals(job.nodes())).isEmpty()
                && filter.partition().isEmpty();
    }

    private ListedJob listed(JobFolder folder) throws CaesuraException {
        Optional<RunIdentity> run = folder.run();
        return new ListedJob(
                folder.job().value(),
                folder.job().value(),
                folder.facts().map(JobFacts::user).orElse(host.user()),
                folder.owner(),
                "-",
                word(host, run),
                run.map(RunIdentity::host).orElse(""),
                Optional.empty(),
                Optional.<Instant>empty(),
                state(run));
    }

    private JobState state(Optional<RunIdentity> run) {
        boolean isRunning = run.isPresent() && host.isAlive(run.get());
        return new JobState(
                isRunning ? JobState.Base.RUNNING : JobState.Base.OTHER,
                run.map(RunIdentity::restartCount).orElse(0),
                Optional.empty(),
                Optional.empty(),
                false);
    }

    @Override
    public JobState state(String job) throws CaesuraException {
        try (JobFolder folder = jobs.open(JobName.parse(job))) {
            return state(folder.run());
        }
    }

    /** Takes the checkpoint itself; when this returns, it is done. */
    @Override
    public void askCheckpoint(String job) throws CaesuraException {
        try (JobFolder folder = jobs.open(JobName.parse(job))) {
            Policy policy = policies.resolve(folder.facts().map(JobFacts::spec).orElse(Policies.DEFAULT));
            Checkpoint checkpoint = new Checkpoint(engine, (level, line) -> {}, (done, total) -> {});
            new JobCheckpoint(checkpoint, policy, host).run(folder, running(folder), "request", 0, target -> {});
        }
    }

    @Override
    public void cancel(String job) throws CaesuraException {
        try (JobFolder folder = jobs.open(JobName.parse(job))) {
            RunIdentity run = running(folder);
            // It lives as long as its init, whose start time was just compared, so this is no other process's number.
            boolean asked = ProcessHandle.of(run.supervisorPid())
                    .map(ProcessHandle::destroy)
                    .orElse(false);
            if (!asked) {
                throw new CaesuraException(
                        ErrorCode.EPERM,
                        "process " + run.supervisorPid() + " of job '" + job + "' cannot be signalled");
            }
        }
    }

    private RunIdentity running(JobFolder folder) throws CaesuraException {
        RunIdentity run = folder.run()
                .orElseThrow(
                        () -> new CaesuraException(ErrorCode.ENOJOB, "job '" + folder.job() + "' has not started yet"));
        host.requireAlive(run, folder.job());
        return run;
    }

    @Override
    public void requeue(String job) throws CaesuraException {
        throw noQueue(job);
    }

    @Override
    public void hold(String job) throws CaesuraException {
        throw noQueue(job);
    }

    @Override
    public void release(String job) throws CaesuraException {
        throw noQueue(job);
    }

    @Override
    public void startNow(String job) throws CaesuraException {
        throw noQueue(job);
    }

    @Override
    public void drain(String node, String reason) throws CaesuraException {
        throw new CaesuraException(
                ErrorCode.EINVAL, "the local scheduler has no nodes to drain", "use it on a host of a batch system");
    }

    private static CaesuraException noQueue(String job) {
        return new CaesuraException(
                ErrorCode.EINVAL,
                "job '" + job + "' is one of the local scheduler, which has no queue",
                "cr_job checkpoint and cr_job cancel end it safely; cr_restart --job starts it again");
    }
}
