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
 * @param callbacks what callbacks of libcr are told
 */
public record CaptureRequest(
        Scope scope,
        Set<CaptureFlag> flags,
        int excludePid,
        Duration freezeLimit,
        long copyLimitBytes,
        List<String> track,
        @Nullable String excludePath,
        CallbackFacts callbacks) {

    /**
     * What callbacks of libcr can ask for.
     *
     * @param requester pid of who asked; 0: the parent of this process
     * @param destination absolute path of the context, empty if it is not a file
     * @param signal for every process afterwards, as far as is known before; 0: none
     */
    public record CallbackFacts(int requester, String destination, int signal) {
        /** Nothing special. */
        public static final CallbackFacts NONE = new CallbackFacts(0, "", 0);
    }

    /** Largest file that is copied for roll-back unless an option or a policy says otherwise. */
    public static final long DEFAULT_COPY_LIMIT_BYTES = 64L << 20;

    public CaptureRequest {
        flags = Set.copyOf(flags);
        track = List.copyOf(track);
    }

    /** With nothing special for callbacks. */
    public CaptureRequest(
            Scope scope,
            Set<CaptureFlag> flags,
            int excludePid,
            Duration freezeLimit,
            long copyLimitBytes,
            List<String> track,
            @Nullable String excludePath) {
        this(scope, flags, excludePid, freezeLimit, copyLimitBytes, track, excludePath, CallbackFacts.NONE);
    }

    /** The same with other facts for callbacks. */
    public CaptureRequest with(CallbackFacts facts) {
        return new CaptureRequest(scope, flags, excludePid, freezeLimit, copyLimitBytes, track, excludePath, facts);
    }

    /** The same, written to that path. */
    public CaptureRequest to(String destination) {
        return with(new CallbackFacts(callbacks.requester(), destination, callbacks.signal()));
    }

    /** The same, with that signal afterwards. */
    public CaptureRequest announcing(int signal) {
        return with(new CallbackFacts(callbacks.requester(), callbacks.destination(), signal));
    }
}
