package io.caesura.scheduler;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class CommandTest {

    @TempDir
    Path folder;

    private final Command command = new Command(Map.of("PATH", "/usr/bin:/bin", "WORD", "a b"), Duration.ofSeconds(20));

    @Test
    void handsArgumentsOverAsTheyAre() throws CaesuraException {
        ProgramRunner.Outcome outcome =
                command.run(List.of("printf", "<%s>", "with blank", "\"quoted\"", "", "$WORD", "it's"));
        assertThat(outcome.out()).isEqualTo("<with blank><\"quoted\"><><$WORD><it's>");
        assertThat(outcome.status()).isZero();
    }

    @Test
    void passesTheEnvironmentAndKeepsStatusAndBothOutputs() throws CaesuraException {
        ProgramRunner.Outcome outcome = command.run(List.of("sh", "-c", "echo \"$WORD\"; echo no >&2; cat; exit 7"));
        assertThat(outcome).isEqualTo(new ProgramRunner.Outcome(7, "a b\n", "no\n"));
    }

    @Test
    void saysWhichProgramIsMissing() {
        assertFails(ErrorCode.ESCHEDULER, "no-such-program", () -> command.run(List.of("no-such-program")));
    }

    /** The children hold the pipes of the output open, so the call would last until they end. */
    @Test
    @Timeout(15)
    void killsAHangingProgramWithItsChildren() throws IOException, InterruptedException {
        Path pids = folder.resolve("pids");
        Command impatient = new Command(Map.of("PATH", "/usr/bin:/bin"), Duration.ofMillis(500));
        List<String> line = List.of(
                "sh", "-c", "(trap '' TERM; sleep 60 & echo $! > " + pids + "; wait) & echo $! >> /dev/null; wait");
        assertFails(ErrorCode.ESCHEDULER, "was killed", () -> impatient.run(line));
        long pid = Long.parseLong(Files.readString(pids).strip());
        for (int i = 0;
                i < 50 && ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false);
                i++) {
            Thread.sleep(100);
        }
        assertThat(ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false))
                .isFalse();
    }

    @Test
    @Timeout(15)
    void doesNotWaitForWhatAProgramLeavesInTheBackground() {
        // The second sleep: by then its output is being read, and the end of the shell does not end that.
        assertFails(ErrorCode.ESCHEDULER, "sh", () -> command.run(List.of("sh", "-c", "sleep 30 & sleep 1")));
    }
}
