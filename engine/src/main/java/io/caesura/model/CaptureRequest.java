package io.caesura.model;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What to capture.
 *
 * @param excludePid this process and its descendants are left out; 0: none
 * @param freezeLimit longest wait until every task stands still; zero: the library's own limit
 * @param copyLimitBytes largest file whose contents are copied for roll-back
 * @param track absolute files and folders whose contents are rolled back too
 * @param excludePath absolute path that is never tracked, such as the store
 */
public record CaptureRequest(
        Scope scope,
        Set<CaptureFlag> flags,
        int excludePid,
        Duration freezeLimit,
        long copyLimitBytes,
        List<String> track,
        @Nullable String excludePath) {

    /** Largest file that is copied for roll-back unless an option or a policy says otherwise. */
    public static final long DEFAULT_COPY_LIMIT_BYTES = 64L << 20;

    public CaptureRequest {
        flags = Set.copyOf(flags);
        track = List.copyOf(track);
    }
}
