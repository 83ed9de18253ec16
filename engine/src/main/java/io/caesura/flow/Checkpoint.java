package io.caesura.flow;

import io.caesura.capture.Capture;
import io.caesura.capture.CaptureEngine;
import io.caesura.capture.LogSink;
import io.caesura.capture.ProgressSink;
import io.caesura.error.CaesuraException;
import io.caesura.model.CaptureRequest;
import io.caesura.model.CaptureResult;
import io.caesura.store.ContextTarget;
import java.util.Optional;

/** The flow of a checkpoint. One object may be used again and again, by one thread at a time. */
public final class Checkpoint {

    private final CaptureEngine engine;
    private final LogSink log;
    private final ProgressSink progress;

    /**
     * @param log called while the scope is frozen, so it must not block
     * @param progress the same
     */
    public Checkpoint(CaptureEngine engine, LogSink log, ProgressSink progress) {
        this.engine = engine;
        this.log = log;
        this.progress = progress;
    }

    /** What ends a scope, asked when its context is safe and while it is still frozen. */
    @FunctionalInterface
    public interface Departure {
        /**
         * @return the signal that every process of the scope is to get, 1 to 64; 0: none, it goes on
         * @throws CaesuraException if the scope has to go on after all
         */
        int decide() throws CaesuraException;
    }

    /**
     * Takes a checkpoint. If it fails, the scope runs on, nothing half-written is left at the target, and what was there is
     * unharmed.
     *
     * @param signal for every process of the scope afterwards, 1 to 64; 0: none
     * @return what was captured, with the whole pause
     */
    public CaptureResult run(CaptureRequest request, ContextTarget target, int signal) throws CaesuraException {
        return run(request.announcing(signal), target, signal == 0 ? Optional.empty() : Optional.of(() -> signal));
    }

    /**
     * The same with a departure that is decided when the context is safe. If that throws, the context stays and the scope
     * goes on.
     */
    public CaptureResult run(CaptureRequest request, ContextTarget target, Optional<Departure> departure)
            throws CaesuraException {
        try (target) {
            boolean committed = false;
            try {
                target.prepare();
                CaptureResult result = captureInto(target, request, departure);
                committed = true;
                return result;
            } finally {
                if (!committed) {
                    target.abort();
                }
            }
        }
    }

    private CaptureResult captureInto(ContextTarget target, CaptureRequest request, Optional<Departure> departure)
            throws CaesuraException {
        try (Capture capture = engine.open(request.to(target.path()), log)) {
            capture.write(target.open(capture.pids()), progress);
            if (departure.isEmpty()) {
                // The scope goes on at once: nothing it does can change what was written.
                capture.release();
                target.commit(capture.result());
            } else {
                // A signal may end the scope, so the context has to be safe first.
                target.commit(capture.result());
                int signal = departure.get().decide();
                if (signal != 0) {
                    capture.signal(signal);
                }
                capture.release();
            }
            return capture.result();
        }
    }
}
