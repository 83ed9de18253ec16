package io.caesura.policy;

/** What becomes of a job that could be restarted from none of its contexts. */
public enum OnRestartFailure {
    /** Held, with its contexts, until somebody has looked at it. */
    HOLD,
    /** Run from the start. */
    SCRATCH
}
