package io.caesura.cli;

import io.caesura.model.CaptureFlag;
import io.caesura.model.CaptureRequest;
import java.util.Set;
import picocli.CommandLine.Option;

/** Processes that take part in their checkpoints, by libcr. */
@Section("Processes with libcr")
final class CallbackOptions {

    @Option(
            order = 1,
            names = "--require-libcr",
            description =
                    "As in BLCR, a process is an error in which none of libcr, libcr_run and libcr_omit is loaded.")
    private boolean required;

    @Option(order = 2, names = "--prohibit-self", hidden = true) // of libcr: the requester may not be in the scope
    private boolean prohibitSelf;

    @Option(order = 3, names = "--requester", paramLabel = "PID", hidden = true) // of libcr: what callbacks are told
    private int requester;

    void addTo(Set<CaptureFlag> flags) {
        if (required) {
            flags.add(CaptureFlag.REQUIRE_LIBCR);
        }
        if (prohibitSelf) {
            flags.add(CaptureFlag.PROHIBIT_SELF);
        }
    }

    CaptureRequest.CallbackFacts facts() {
        return new CaptureRequest.CallbackFacts(requester, "", 0);
    }
}
