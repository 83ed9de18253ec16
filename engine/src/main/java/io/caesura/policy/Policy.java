package io.caesura.policy;

import io.caesura.model.CaptureRequest;
import io.caesura.model.TimeSpan;
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
 */
public record Policy(
        Optional<Duration> interval,
        int keep,
        long copyLimitBytes,
        List<String> track,
        Optional<String> storeFolder,
        OnExit onExit,
        boolean sync) {

    /** Ready-made choice of what to track: the job's working folder. */
    public static final String JOB_FOLDER = "job-folder";

    /** What holds where no policy says otherwise. */
    public static final Policy BUILT_IN = new Policy(
            Optional.empty(),
            2,
            CaptureRequest.DEFAULT_COPY_LIMIT_BYTES,
            List.of(),
            Optional.empty(),
            OnExit.DELETE_ON_SUCCESS,
            true);

    public Policy {
        track = List.copyOf(track);
    }

    /** Absolute paths to track for a job that was started in workingFolder. */
    public List<String> trackedPaths(String workingFolder) {
        return track.stream().map(t -> t.equals(JOB_FOLDER) ? workingFolder : t).toList();
    }

    /** Key by key, as a policy file would say it. */
    public Map<String, Object> asMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("interval", interval.map(TimeSpan::format).orElse("off"));
        map.put("keep", keep);
        map.put("mode", "stop");
        map.put("copy-limit", copyLimitBytes);
        map.put("track", track);
        storeFolder.ifPresent(folder -> map.put("store", Map.of("dir", folder)));
        map.put("on-exit", onExit.key());
        map.put("sync", sync);
        return map;
    }
}
