package io.caesura.agent;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.Host;
import io.caesura.flow.Jobs;
import io.caesura.model.JobFacts;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.scheduler.BatchJob;
import io.caesura.scheduler.Scheduler;
import io.caesura.store.JobFolder;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The engine beside the task of a batch job: it finds out whether the job begins or goes on, checkpoints on the policy's
 * timer, and answers the supervisor's events. See docs/architecture.md, "A job of a batch system".
 */
public final class BatchAgent {

    private final CaptureEngine engine;
    private final Host host;
    private final Policies policies;
    private final Jobs jobs;
    private final Scheduler scheduler;
    private final Consumer<String> messages;

    /** @param messages lines for the job's stderr */
    public BatchAgent(
            CaptureEngine engine,
            Host host,
            Policies policies,
            Jobs jobs,
            Scheduler scheduler,
            Consumer<String> messages) {
        this.engine = engine;
        this.host = host;
        this.policies = policies;
        this.jobs = jobs;
        this.scheduler = scheduler;
        this.messages = messages;
    }

    /**
     * What the supervisor asks for.
     *
     * @param key the same in every run of the job, and in no other job
     * @param restarts how often the scheduler has started the job again
     * @param isRunning whether the job runs already, so that there is nothing to restart
     * @param command the job's, with its arguments
     */
    public record Order(
            BatchJob job,
            String spec,
            String key,
            int restarts,
            boolean isRunning,
            List<String> command,
            String workingFolder,
            int supervisorPid) {}

    /**
     * Serves one run of a job until it ends, or until there is nothing to wait for. A refusal is told to the supervisor, not
     * thrown.
     *
     * @return the exit status
     */
    public int serve(Order order, Link link) throws CaesuraException {
        BatchStart start = new BatchStart(engine, host, jobs, scheduler, messages);
        Policy policy;
        JobFolder folder;
        JobRun run;
        try {
            Optional<JobFolder> known = start.find(order);
            policy = known.isPresent() ? recorded(known.get()) : policies.resolve(order.spec());
            folder = known.isPresent() ? known.get() : start.create(order, policy);
            run = JobRun.begin(folder, host, order.restarts(), order.supervisorPid());
        } catch (CaesuraException e) {
            if (order.restarts() > 0 && !order.isRunning() && isHeld(order, e)) {
                link.send("end 0");
                return 0;
            }
            link.send("error " + e.code().code() + " " + e.getMessage() + " (" + e.remedy() + ")");
            return e.code().code();
        }
        try (folder) {
            List<String> notes = List.of();
            if (!order.isRunning() && !folder.sequences().isEmpty()) {
                Optional<List<String>> restarted = start.restart(order, policy, run, link);
                if (restarted.isEmpty()) {
                    return 0;
                }
                notes = restarted.get();
            } else {
                if (order.restarts() > 0 && !order.isRunning()) {
                    notes = List.of("caesura: job " + order.job().id() + " begins from the start again: there is no"
                            + " context of it in " + folder.path());
                }
                link.send("job " + folder.path());
            }
            BatchEvents events = new BatchEvents(scheduler, order.job().id(), jobs, policy, run, link, messages);
            return events.follow(new JobCheckpoints(engine, host, policy, run, messages), order.isRunning(), notes);
        }
    }

    /** A job that may have contexts waits until they can be looked at: run from the start it would undo its own work. */
    private boolean isHeld(Order order, CaesuraException why) {
        // Before, as the scheduler that is asked ends this run.
        messages.accept("caesura: job " + order.job().id() + " is held, as it cannot be seen whether it has contexts: "
                + why.getMessage() + " (" + why.remedy() + "); then: cr_job release "
                + order.job().id());
        try {
            scheduler.hold(order.job().id());
        } catch (CaesuraException e) {
            messages.accept("caesura: job " + order.job().id() + " cannot be held: " + e.getMessage());
            return false;
        }
        return true;
    }

    /** What holds for a job is what held when it began, whatever became of policy files and limits since. */
    private Policy recorded(JobFolder folder) throws CaesuraException {
        Optional<JobFacts> facts = folder.facts();
        if (facts.isEmpty()) {
            throw new CaesuraException(ErrorCode.ENOJOB, folder.path() + " has no job.json");
        }
        return policies.recorded(facts.get().policy());
    }
}
