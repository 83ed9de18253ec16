package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureRequest;
import io.caesura.model.CaptureResult;
import io.caesura.model.JobFacts;
import io.caesura.model.RunIdentity;
import io.caesura.model.Scope;
import io.caesura.model.ScopeKind;
import io.caesura.policy.Policy;
import io.caesura.store.ContextTarget;
import io.caesura.store.JobFolder;
import io.caesura.store.JobTarget;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/** A checkpoint of a whole job into its store: what a timer, a command and later a scheduler ask for alike. */
public final class JobCheckpoint {

    private final Checkpoint checkpoint;
    private final Policy policy;
    private final Host host;

    public JobCheckpoint(Checkpoint checkpoint, Policy policy, Host host) {
        this.checkpoint = checkpoint;
        this.policy = policy;
        this.host = host;
    }

    /**
     * What was done.
     *
     * @param sequence of the new context
     */
    public record Done(int sequence, CaptureResult result) {}

    /**
     * Takes the job's lock, checkpoints every process of the job, and removes contexts that the policy no longer keeps.
     *
     * @param run the run that asks; it must be the newest
     * @param reason why, in a word or two: "timer", "request", "preemption"
     * @param signal for every process afterwards; 0: none
     * @param targets told of the target while it can be aborted from another thread
     * @throws CaesuraException EBUSY if the job is being captured or restarted, EFENCED if run is not the newest, ENOJOB
     *     if it does not run here, or what Checkpoint throws
     */
    public Done run(JobFolder job, RunIdentity run, String reason, int signal, Consumer<ContextTarget> targets)
            throws CaesuraException {
        Optional<Checkpoint.Departure> departure = signal == 0 ? Optional.empty() : Optional.of(() -> signal);
        return run(job, run, new Demand(reason, Duration.ZERO, departure), targets);
    }

    /**
     * Why and how.
     *
     * @param reason for the manifest
     * @param patience how long to wait for another checkpoint of the job that is under way
     * @param departure what ends the job afterwards; empty: it goes on
     */
    public record Demand(String reason, Duration patience, Optional<Checkpoint.Departure> departure) {}

    /** The same as asked for by demand. */
    public Done run(JobFolder job, RunIdentity run, Demand demand, Consumer<ContextTarget> targets)
            throws CaesuraException {
        try (JobFolder.Lock lock = job.lockWithin(demand.patience())) {
            job.requireNewest(run);
            host.requireAlive(run, job.job());
            JobTarget.Order order = new JobTarget.Order(host.user(), demand.reason(), policy.asMap(), policy.sync());
            JobTarget target = new JobTarget(job, run, order);
            targets.accept(target);
            CaptureResult result = checkpoint.run(request(job, run), target, demand.departure());
            job.retain(policy.keep());
            return new Done(target.sequence(), result);
        }
    }

    /** What to capture of a job. */
    public CaptureRequest request(JobFolder job, RunIdentity run) throws CaesuraException {
        JobFacts facts = job.facts()
                .orElseThrow(() -> new CaesuraException(ErrorCode.ENOJOB, "job '" + job.job() + "' has no job.json"));
        return new CaptureRequest(
                new Scope(ScopeKind.JOB, run.initPid()),
                Set.of(),
                host.ownPid(),
                policy.deadline().orElse(Duration.ZERO),
                policy.copyLimitBytes(),
                policy.trackedPaths(facts.workingFolder()),
                job.path().toString());
    }
}
