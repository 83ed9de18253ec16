package io.caesura.policy;

/** What becomes of a job that was checkpointed because its time limit is near. */
public enum AfterLimit {
    /** Put back into the queue, with a fresh limit. */
    REQUEUE,
    /** Put back into the queue and held there until somebody releases it. */
    HOLD,
    /** Left to run into its limit. The scheduler ends it, and its contexts stay. */
    KEEP
}
