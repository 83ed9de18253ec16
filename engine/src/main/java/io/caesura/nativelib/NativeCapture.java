package io.caesura.nativelib;

import com.sun.jna.Pointer;
import io.caesura.capture.Capture;
import io.caesura.capture.ProgressSink;
import io.caesura.error.CaesuraException;
import io.caesura.model.CaptureResult;
import java.time.Duration;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;

/** A frozen scope of libcapture. The kernel ties it to the thread that opened it, and so does this class. */
final class NativeCapture implements Capture {

    private final LibCapture library;
    private final Thread owner = Thread.currentThread();

    /** Held so that it is not collected while the library may call it. */
    private final LibCapture.caesura_log_fn log;

    @Nullable
    private Pointer handle;

    NativeCapture(LibCapture library, Pointer handle, LibCapture.caesura_log_fn log) {
        this.library = library;
        this.handle = handle;
        this.log = log;
    }

    @Override
    public int[] pids() {
        Pointer capture = open();
        int[] pids = new int[Math.toIntExact(library.caesura_capture_count(capture))];
        for (int i = 0; i < pids.length; i++) {
            pids[i] = library.caesura_capture_pid(capture, i);
        }
        return pids;
    }

    @Override
    public void write(int[] descriptors, ProgressSink progress) throws CaesuraException {
        LibCapture.caesura_error error = new LibCapture.caesura_error();
        LibCapture.caesura_progress_fn callback = (data, done, total) -> progress.progress(done, total);
        int result = library.caesura_capture_write(open(), descriptors, descriptors.length, callback, null, error);
        NativeCaptureEngine.check(result, error);
    }

    @Override
    public void signal(int signal) throws CaesuraException {
        LibCapture.caesura_error error = new LibCapture.caesura_error();
        NativeCaptureEngine.check(library.caesura_capture_signal(open(), signal, error), error);
    }

    @Override
    public void release() {
        library.caesura_capture_release(open());
    }

    @Override
    public CaptureResult result() {
        LibCapture.caesura_capture_result raw = new LibCapture.caesura_capture_result();
        raw.size = raw.size();
        library.caesura_capture_result(open(), raw);
        return new CaptureResult(
                raw.processes,
                raw.threads,
                raw.warnings,
                raw.page_bytes,
                raw.file_bytes,
                raw.total_bytes,
                Duration.ofNanos(raw.freeze_ns),
                Duration.ofNanos(raw.collect_ns),
                Duration.ofNanos(raw.pause_ns),
                HexFormat.of().formatHex(raw.set_id));
    }

    @Override
    public void close() {
        requireOwner();
        if (handle != null) {
            library.caesura_capture_close(handle);
            handle = null;
        }
    }

    private Pointer open() {
        requireOwner();
        Pointer open = handle;
        if (open == null) {
            throw new IllegalStateException("the capture is closed");
        }
        return open;
    }

    private void requireOwner() {
        if (Thread.currentThread() != owner) {
            throw new IllegalStateException("a capture belongs to the thread that opened it: " + owner.getName() + ", "
                    + log.getClass().getSimpleName());
        }
    }
}
