package io.caesura.nativelib;

import com.sun.jna.Callback;
import com.sun.jna.Library;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import com.sun.jna.ptr.PointerByReference;
import org.jspecify.annotations.Nullable;

/**
 * caesura.h, name by name. Functions return 0 or a negated code and fill the error structure; who frees what is said there.
 */
@SuppressWarnings({"checkstyle:MethodName", "checkstyle:ParameterName", "checkstyle:MemberName", "checkstyle:TypeName"})
interface LibCapture extends Library {
    int ABI_VERSION = 2;

    @FieldOrder({"version", "error_size", "request_size", "result_size"})
    final class caesura_abi extends Structure {
        public int version;
        public int error_size;
        public int request_size;
        public int result_size;

        public caesura_abi(Pointer memory) {
            super(memory);
            read();
        }
    }

    @FieldOrder({"code", "pid", "fd", "message", "remedy"})
    final class caesura_error extends Structure {
        public int code;
        public int pid;
        public int fd;
        public byte[] message = new byte[1024];
        public byte[] remedy = new byte[508];
    }

    /** track_paths points to an array of strings that ends in NULL; the caller keeps it alive. */
    @FieldOrder({
        "size",
        "scope",
        "id",
        "flags",
        "exclude_pid",
        "timeout_ms",
        "copy_limit_bytes",
        "track_paths",
        "exclude_path",
        "destination",
        "requester",
        "announced_signal"
    })
    final class caesura_capture_request extends Structure {
        public int size;
        public int scope;
        public int id;
        public int flags;
        public int exclude_pid;
        public int timeout_ms;
        public long copy_limit_bytes;

        @Nullable
        public Pointer track_paths;

        @Nullable
        public String exclude_path;

        @Nullable
        public String destination;

        public int requester;
        public int announced_signal;
    }

    @FieldOrder({
        "size",
        "processes",
        "threads",
        "warnings",
        "page_bytes",
        "file_bytes",
        "total_bytes",
        "freeze_ns",
        "collect_ns",
        "pause_ns",
        "set_id"
    })
    final class caesura_capture_result extends Structure {
        public int size;
        public int processes;
        public int threads;
        public int warnings;
        public long page_bytes;
        public long file_bytes;
        public long total_bytes;
        public long freeze_ns;
        public long collect_ns;
        public long pause_ns;
        public byte[] set_id = new byte[16];
    }

    /** Called on the thread of the call that it was given to. */
    interface caesura_log_fn extends Callback {
        void invoke(Pointer data, int level, String text);
    }

    /** Called on the thread of the call that it was given to. */
    interface caesura_progress_fn extends Callback {
        void invoke(Pointer data, long done, long total);
    }

    Pointer caesura_abi();

    int caesura_capture_open(
            caesura_capture_request request,
            caesura_log_fn log,
            @Nullable Pointer log_data,
            PointerByReference out,
            caesura_error err);

    long caesura_capture_count(Pointer capture);

    int caesura_capture_pid(Pointer capture, long index);

    int caesura_capture_write(
            Pointer capture,
            int[] fds,
            long count,
            caesura_progress_fn progress,
            @Nullable Pointer progress_data,
            caesura_error err);

    int caesura_capture_signal(Pointer capture, int signal, caesura_error err);

    void caesura_capture_release(Pointer capture);

    void caesura_capture_result(Pointer capture, caesura_capture_result result);

    void caesura_capture_close(Pointer capture);

    int caesura_context_verify(int[] fds, long count, caesura_error err);

    int caesura_context_describe(int[] fds, long count, PointerByReference json, caesura_error err);

    void caesura_free(Pointer memory);
}
