package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/** The pipe to the launcher, which becomes cr-restore with the arguments that are written here, each ended by NUL. */
@FunctionalInterface
interface PlanOutput {

    /** Names the descriptor; 3 without it. */
    String VARIABLE = "CAESURA_PLAN_FD";

    void write(List<String> arguments) throws CaesuraException;

    static PlanOutput of(Map<String, String> environment) {
        String descriptor = environment.getOrDefault(VARIABLE, "3");
        return arguments -> {
            try (OutputStream pipe = new FileOutputStream("/proc/self/fd/" + descriptor)) {
                pipe.write((String.join("\0", arguments) + "\0").getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                throw new CaesuraException(
                        ErrorCode.EENGINE, "cannot hand the restart over to the launcher: " + e.getMessage());
            }
        };
    }
}
