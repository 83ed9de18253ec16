package io.caesura.nativelib;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import com.sun.jna.StringArray;
import com.sun.jna.Structure;
import com.sun.jna.ptr.PointerByReference;
import io.caesura.capture.Capture;
import io.caesura.capture.CaptureEngine;
import io.caesura.capture.LogLevel;
import io.caesura.capture.LogSink;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureFlag;
import io.caesura.model.CaptureRequest;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/** CaptureEngine by libcapture.so, which is looked for in jna.library.path. Thread-safe; see Capture for its rule. */
public final class NativeCaptureEngine implements CaptureEngine {

    private final LibCapture library;

    private NativeCaptureEngine(LibCapture library) {
        this.library = library;
    }

    /**
     * Loads the library and compares its structures with ours.
     *
     * @throws CaesuraException EENGINE if it cannot be loaded, EVERSION if it is of another version
     */
    public static NativeCaptureEngine load() throws CaesuraException {
        return load("capture");
    }

    /** The same with another name or path of the library. */
    static NativeCaptureEngine load(String name) throws CaesuraException {
        LibCapture library;
        try {
            library = Jna.load(name, LibCapture.class);
        } catch (UnsatisfiedLinkError e) {
            throw new CaesuraException(
                    ErrorCode.EENGINE,
                    "libcapture.so cannot be loaded",
                    "install it beside the commands, under PREFIX/lib");
        }
        checkAbi(new LibCapture.caesura_abi(library.caesura_abi()));
        return new NativeCaptureEngine(library);
    }

    private static void checkAbi(LibCapture.caesura_abi abi) throws CaesuraException {
        int[][] pairs = {
            {LibCapture.ABI_VERSION, abi.version},
            {sizeOf(new LibCapture.caesura_error()), abi.error_size},
            {sizeOf(new LibCapture.caesura_capture_request()), abi.request_size},
            {sizeOf(new LibCapture.caesura_capture_result()), abi.result_size},
        };
        for (int[] pair : pairs) {
            if (pair[0] != pair[1]) {
                throw new CaesuraException(
                        ErrorCode.EVERSION,
                        "libcapture.so does not fit this engine (" + pair[1] + " where it expects " + pair[0] + ")");
            }
        }
    }

    private static int sizeOf(Structure structure) {
        return structure.size();
    }

    @Override
    public Capture open(CaptureRequest request, LogSink log) throws CaesuraException {
        LibCapture.caesura_capture_request raw = new LibCapture.caesura_capture_request();
        raw.size = raw.size();
        raw.scope = request.scope().kind().code();
        raw.id = request.scope().id();
        raw.flags = request.flags().stream().mapToInt(CaptureFlag::bit).sum();
        raw.exclude_pid = request.excludePid();
        raw.timeout_ms = (int) Math.min(request.freezeLimit().toMillis(), Integer.MAX_VALUE);
        raw.copy_limit_bytes = request.copyLimitBytes();
        Memory track = request.track().isEmpty()
                ? null
                : new StringArray(request.track().toArray(new String[0]), "UTF-8");
        raw.track_paths = track;
        raw.exclude_path = request.excludePath();
        CaptureRequest.CallbackFacts facts = request.callbacks();
        raw.destination = facts.destination().isEmpty() ? null : facts.destination();
        raw.requester = facts.requester();
        raw.announced_signal = facts.signal();
        PointerByReference out = new PointerByReference();
        LibCapture.caesura_error error = new LibCapture.caesura_error();
        LibCapture.caesura_log_fn callback = (data, level, text) -> log.log(levelOf(level), text);
        check(library.caesura_capture_open(raw, callback, null, out, error), error);
        return new NativeCapture(library, out.getValue(), callback);
    }

    private static LogLevel levelOf(int level) {
        LogLevel[] levels = LogLevel.values();
        return levels[Math.max(0, Math.min(level, levels.length - 1))];
    }

    @Override
    public void verify(int[] descriptors) throws CaesuraException {
        LibCapture.caesura_error error = new LibCapture.caesura_error();
        check(library.caesura_context_verify(descriptors, descriptors.length, error), error);
    }

    @Override
    public String describe(int[] descriptors) throws CaesuraException {
        LibCapture.caesura_error error = new LibCapture.caesura_error();
        PointerByReference json = new PointerByReference();
        check(library.caesura_context_describe(descriptors, descriptors.length, json, error), error);
        Pointer text = json.getValue();
        try {
            return text.getString(0, "UTF-8");
        } finally {
            library.caesura_free(text);
        }
    }

    /** Turns a negative result into an exception that carries what the library said. */
    static void check(int result, LibCapture.caesura_error error) throws CaesuraException {
        if (result >= 0) {
            return;
        }
        Optional<ErrorCode> known = ErrorCode.of(-result);
        ErrorCode code = known.orElse(ErrorCode.EIO);
        String message = text(error.message);
        String remedy = text(error.remedy);
        if (message.isEmpty()) {
            message = known.map(ErrorCode::what).orElse("error " + -result);
        }
        // A callback of libcr may have given a code of its own, which the exit status has to be.
        throw new CaesuraException(code, message, remedy.isEmpty() ? code.remedy() : remedy, -result);
    }

    private static String text(byte[] field) {
        int end = 0;
        while (end < field.length && field[end] != 0) {
            end++;
        }
        return new String(field, 0, end, StandardCharsets.UTF_8);
    }
}
