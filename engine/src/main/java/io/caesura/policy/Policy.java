package io.caesura.policy;

import io.caesura.model.CaptureRequest;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * When and how a job is checkpointed. Immutable.
 *
 * @param interval between timed checkpoints; empty: none are timed
 * @param keep how many contexts are kept, at least 1
 * @param copyLimitBytes largest file whose contents are copied for roll-back
 * @param track files and folders that are rolled back though nobody has them open; {@link #JOB_FOLDER} stands for the
 *     job's working folder
 * @param storeFolder absolute; empty: the user's own default
 * @param sync whether contexts are synced to disk
 * @param deadline a checkpoint that takes longer is given up, and the job goes on; empty: none is
 * @param checkpointOnPreemption false: a preemption ends the job as it would without us
 * @param checkpointOnRequeue whether a requeue that somebody else asked for is preceded by a checkpoint
 * @param limitWarning how long before the time limit the job is checkpointed; empty: it is not
 * @param signal number of the signal that asks for a checkpoint, and that the job therefore does not get; empty: none
 * @param checkpointOnCancel whether a cancelled job is checkpointed before it ends
 * @param keepOnCancel whether the contexts of a cancelled job are kept
 * @param requeueNow whether the scheduler's delay before a requeued job may start is taken away
 */
public record Policy(
        Optional<Duration> interval,
        int keep,
        long copyLimitBytes,
        List<String> track,
        Optional<String> storeFolder,
        OnExit onExit,
        boolean sync,
        Optional<Duration> deadline,
        boolean checkpointOnPreemption,
        boolean checkpointOnRequeue,
        Optional<Duration> limitWarning,
        AfterLimit afterLimit,
        Optional<Integer> signal,
        AfterSignal afterSignal,
        boolean checkpointOnCancel,
        boolean keepOnCancel,
        boolean requeueNow,
        OnRestartFailure onRestartFailure) {

    /** Ready-made choice of what to track: the job's working folder. */
    public static final String JOB_FOLDER = "job-folder";

    public static final int SIGUSR1 = 10;
    public static final int SIGUSR2 = 12;

    /** What holds where no policy says otherwise. */
    public static final Policy BUILT_IN = new Policy(
            Optional.empty(),
            2,
            CaptureRequest.DEFAULT_COPY_LIMIT_BYTES,
            List.of(),
            Optional.empty(),
            OnExit.DELETE_ON_SUCCESS,
            true,
            Optional.empty(),
            true,
            true,
            Optional.of(Duration.ofMinutes(2)),
            AfterLimit.REQUEUE,
            Optional.of(SIGUSR2),
            AfterSignal.CONTINUE,
            false,
            true,
            true,
            OnRestartFailure.HOLD);

    public Policy {
        track = List.copyOf(track);
    }

    /** Absolute paths to track for a job that was started in workingFolder. */
    public List<String> trackedPaths(String workingFolder) {
        return track.stream().map(t -> t.equals(JOB_FOLDER) ? workingFolder : t).toList();
    }

    /** Whether the engine has to stay with the job, for its timer. Without one it is started when something happens. */
    public boolean isResident() {
        return interval.isPresent();
    }

    /** Key by key, as a policy file would say it. A store that is not set is left out. */
    public Map<String, Object> asMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        for (PolicyKey key : PolicyKey.values()) {
            key.value(this).ifPresent(value -> put(map, key.key(), value));
        }
        return map;
    }

    @SuppressWarnings("unchecked") // what stands under the first part of a key with a dot is always a map of this kind
    private static void put(Map<String, Object> map, String key, Object value) {
        int dot = key.indexOf('.');
        if (dot < 0) {
            map.put(key, value);
            return;
        }
        Object inner = map.computeIfAbsent(key.substring(0, dot), unused -> new LinkedHashMap<String, Object>());
        put((Map<String, Object>) inner, key.substring(dot + 1), value);
    }
}
