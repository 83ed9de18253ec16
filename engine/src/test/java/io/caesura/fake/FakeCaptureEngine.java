package io.caesura.fake;

import io.caesura.capture.Capture;
import io.caesura.capture.CaptureEngine;
import io.caesura.capture.LogLevel;
import io.caesura.capture.LogSink;
import io.caesura.capture.ProgressSink;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureRequest;
import io.caesura.model.CaptureResult;
import io.caesura.store.RawFiles;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/** A scope of three processes that is "captured" as one line of text per process; it keeps a diary of what was asked. */
public final class FakeCaptureEngine implements CaptureEngine {

    /** What a whole context looks like; verify() takes nothing else. */
    public static final String WHOLE = "whole context\n";

    public final List<String> diary = Collections.synchronizedList(new ArrayList<>());
    public final List<CaptureRequest> requests = Collections.synchronizedList(new ArrayList<>());
    public Optional<CaesuraException> openFailure = Optional.empty();
    public Optional<CaesuraException> writeFailure = Optional.empty();
    public Optional<CaesuraException> signalFailure = Optional.empty();
    public Runnable duringWrite = () -> {};
    public String description = "{}";

    private final RawFiles raw;

    public FakeCaptureEngine(RawFiles raw) {
        this.raw = raw;
    }

    @Override
    public Capture open(CaptureRequest request, LogSink log) throws CaesuraException {
        diary.add("freeze");
        requests.add(request);
        if (openFailure.isPresent()) {
            log.log(LogLevel.REFUSAL, "pid 7, descriptor 5: a camera; close it");
            throw openFailure.get();
        }
        log.log(LogLevel.WARNING, "a warning");
        return new FakeCapture();
    }

    @Override
    public void verify(int[] descriptors) throws CaesuraException {
        for (int descriptor : descriptors) {
            String text = new String(raw.read(descriptor, 1 << 20), StandardCharsets.UTF_8);
            if (!text.equals(WHOLE)) {
                throw new CaesuraException(ErrorCode.ECORRUPT, "checksum");
            }
        }
    }

    @Override
    public String describe(int[] descriptors) {
        diary.add("describe " + descriptors.length);
        return description;
    }

    private final class FakeCapture implements Capture {
        private boolean released;

        @Override
        public int[] pids() {
            return new int[] {7, 8, 9};
        }

        @Override
        public void write(int[] descriptors, ProgressSink progress) throws CaesuraException {
            diary.add("write " + descriptors.length);
            for (int descriptor : descriptors) {
                raw.write(descriptor, WHOLE.substring(0, 5).getBytes(StandardCharsets.UTF_8));
            }
            duringWrite.run();
            if (writeFailure.isPresent()) {
                throw writeFailure.get();
            }
            for (int descriptor : descriptors) {
                raw.write(descriptor, WHOLE.substring(5).getBytes(StandardCharsets.UTF_8));
            }
            progress.progress(1, 1);
        }

        @Override
        public void signal(int signal) throws CaesuraException {
            diary.add("signal " + signal);
            if (signalFailure.isPresent()) {
                throw signalFailure.get();
            }
        }

        @Override
        public void release() {
            released = true;
            diary.add("release");
        }

        @Override
        public CaptureResult result() {
            Duration pause = released ? Duration.ofMillis(12) : Duration.ZERO;
            return new CaptureResult(
                    3, 4, 1, 4096, 0, 5000, Duration.ofMillis(1), Duration.ofMillis(2), pause, "00ff".repeat(8));
        }

        @Override
        public void close() {
            diary.add(released ? "close" : "release and close");
        }
    }
}
