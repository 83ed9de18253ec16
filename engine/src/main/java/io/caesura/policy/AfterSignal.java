package io.caesura.policy;

/** What becomes of a job that was checkpointed because somebody sent the policy's signal. */
public enum AfterSignal {
    /** It goes on. */
    CONTINUE,
    /** Put back into the queue. */
    REQUEUE,
    /** Put back into the queue and held there until somebody releases it. */
    HOLD
}
