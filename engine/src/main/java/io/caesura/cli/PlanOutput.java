package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** The pipe to the launcher, which becomes cr-restore with the arguments that are written here, each ended by NUL. */
@FunctionalInterface
interface PlanOutput {

    /** Set by the launcher: the number of the descriptor. */
    String VARIABLE = "CAESURA_PLAN_FD";

    void write(List<String> arguments) throws CaesuraException;

    /**
     * The pipe that the launcher named. There is no default number, and what is not a pipe is refused: without a launcher
     * any number is a file that the JVM has open for itself, down to the classes of the JDK, and root could overwrite it.
     */
    static PlanOutput of(Map<String, String> environment) {
        String descriptor = environment.getOrDefault(VARIABLE, "");
        return arguments -> {
            if (!descriptor.matches("\\d{1,9}")) {
                throw withoutLauncher(VARIABLE + " is not set");
            }
            Path path = Path.of("/proc/self/fd/" + descriptor);
            try {
                requirePipe(path);
                // Neither created nor truncated, whatever it is.
                try (FileChannel pipe = FileChannel.open(path, StandardOpenOption.WRITE)) {
                    String plan = String.join("\0", arguments) + "\0";
                    ByteBuffer bytes = ByteBuffer.wrap(plan.getBytes(StandardCharsets.UTF_8));
                    while (bytes.hasRemaining()) {
                        pipe.write(bytes);
                    }
                }
            } catch (IOException e) {
                throw new CaesuraException(
                        ErrorCode.EENGINE, "cannot hand the restart over to the launcher: " + e.getMessage());
            }
        };
    }

    private static void requirePipe(Path path) throws IOException, CaesuraException {
        int mode = (Integer) Objects.requireNonNull(Files.getAttribute(path, "unix:mode"));
        if ((mode & 0170000) != 0010000) {
            throw withoutLauncher(VARIABLE + " does not name a pipe");
        }
    }

    private static CaesuraException withoutLauncher(String why) {
        return new CaesuraException(
                ErrorCode.EENGINE,
                "the engine was not started by the cr_restart launcher: " + why,
                "call bin/cr_restart");
    }
}
