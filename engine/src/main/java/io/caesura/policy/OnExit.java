package io.caesura.policy;

/** What happens to a job's contexts when the job ended by itself. */
public enum OnExit {
    /** Removed if the job's exit status was 0, else kept, so that a failed job can go on from before the failure. */
    DELETE_ON_SUCCESS,
    /** Removed. */
    DELETE,
    /** Kept. */
    KEEP;

    /**
     * Whether the contexts are removed after this end.
     *
     * @param waitStatus as wait() gives it: 0 is an exit with status 0
     */
    public boolean removes(int waitStatus) {
        return this == DELETE || (this == DELETE_ON_SUCCESS && waitStatus == 0);
    }
}
