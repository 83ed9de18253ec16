package io.caesura.scheduler;

import java.time.Instant;
import java.util.Optional;

/**
 * What a scheduler says of a job at a moment: enough to tell why a signal came.
 *
 * @param restartCount how often the job was started again; one more than that of the run that asks if the job is requeued
 * @param preempted when the scheduler chose the job to make room; empty: it did not
 * @param started when this run began; empty: not known
 * @param limit when the job's time is up; empty: never, or not known
 * @param requeueable whether the scheduler would start the job again: after a preemption, if one is under way
 * @param held whether somebody holds the job though it runs: it is to leave, and to wait until it is released
 */
public record JobState(
        Base base,
        int restartCount,
        Optional<Instant> preempted,
        Optional<Instant> started,
        Optional<Instant> limit,
        boolean requeueable,
        boolean held) {

    /** A state where nobody holds the job, or where holding a job that runs ends its run, as in Slurm. */
    public JobState(
            Base base,
            int restartCount,
            Optional<Instant> preempted,
            Optional<Instant> started,
            Optional<Instant> limit,
            boolean requeueable) {
        this(base, restartCount, preempted, started, limit, requeueable, false);
    }

    /** A state of which it is not known when the run began. */
    public JobState(
            Base base, int restartCount, Optional<Instant> preempted, Optional<Instant> limit, boolean requeueable) {
        this(base, restartCount, preempted, Optional.empty(), limit, requeueable);
    }

    /** The same of a job that is not started again. */
    public JobState notRequeued() {
        return new JobState(base, restartCount, preempted, started, limit, false, held);
    }

    /** The same, held. */
    public JobState asHeld() {
        return new JobState(base, restartCount, preempted, started, limit, requeueable, true);
    }

    /** The state without its flags. */
    public enum Base {
        PENDING,
        RUNNING,
        SUSPENDED,
        COMPLETED,
        CANCELLED,
        FAILED,
        TIMEOUT,
        NODE_FAIL,
        PREEMPTED,
        /** Any other: BOOT_FAIL, DEADLINE, OUT_OF_MEMORY. All are final. */
        OTHER
    }
}
