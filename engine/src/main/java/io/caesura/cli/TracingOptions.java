package io.caesura.cli;

import io.caesura.model.CaptureFlag;
import java.util.Set;
import picocli.CommandLine.Option;

/** Processes that are traced, or trace others. */
@Section("Traced and tracing processes")
final class TracingOptions {

    private boolean skipTraced;
    private boolean allowTraced;
    private boolean skipTracers;

    @Option(order = 1, names = "--ptraced-error", description = "A process that is being traced is an error (default).")
    void tracedError(boolean given) {
        skipTraced = false;
        allowTraced = false;
    }

    @Option(
            order = 2,
            names = "--ptraced-skip",
            description = "Processes that are being traced are left out silently, with --tree their children too.")
    void tracedSkip(boolean given) {
        skipTraced = true;
        allowTraced = false;
    }

    @Option(
            order = 3,
            names = "--ptraced-allow",
            description =
                    "Processes that are being traced are taken like others. The kernel allows one tracer only, so the "
                            + "debugger has to let go first.")
    void tracedAllow(boolean given) {
        skipTraced = false;
        allowTraced = true;
    }

    @Option(order = 4, names = "--ptracer-error", description = "A process that traces others is an error (default).")
    void tracerError(boolean given) {
        skipTracers = false;
    }

    @Option(
            order = 5,
            names = "--ptracer-skip",
            description = "Processes that trace others are left out silently, with --tree their children too.")
    void tracerSkip(boolean given) {
        skipTracers = true;
    }

    void addTo(Set<CaptureFlag> flags) {
        if (skipTraced) {
            flags.add(CaptureFlag.PTRACED_SKIP);
        }
        if (allowTraced) {
            flags.add(CaptureFlag.PTRACED_ALLOW);
        }
        if (skipTracers) {
            flags.add(CaptureFlag.PTRACER_SKIP);
        }
    }
}
