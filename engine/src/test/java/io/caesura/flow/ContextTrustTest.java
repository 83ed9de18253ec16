package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ContextTrustTest {

    @TempDir
    Path folder;

    private Path file;
    private int me;

    @BeforeEach
    void write() throws IOException {
        file = folder.resolve("context.1");
        Files.writeString(file, "x");
        mode(file, "r--------");
        me = (Integer) Files.getAttribute(file, "unix:uid");
    }

    private static void mode(Path path, String mode) throws IOException {
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString(mode));
    }

    @Test
    void takesOnesOwnFile() throws CaesuraException, IOException {
        ContextTrust.ofThisUser().requireFile(file);
        mode(file, "rw-r--r--");
        ContextTrust.ofThisUser().requireFile(file);
    }

    @ParameterizedTest
    @ValueSource(strings = {"rw--w----", "rw-----w-", "rw-rw-rw-"})
    void refusesAFileThatOthersMayWrite(String mode) throws IOException {
        mode(file, mode);
        assertFails(ErrorCode.EUNTRUSTED, "may be written", () -> ContextTrust.ofThisUser()
                .requireFile(file));
    }

    @Test
    void refusesAFileOfAnotherUserUnlessThatIsRoot() throws CaesuraException {
        if (me == 0) {
            new ContextTrust(4711).requireFile(file);
            // /proc/self/... of a process of another user is not to be had, so look from the other side.
            assertThat(new ContextTrust(4711)).isNotNull();
        } else {
            assertFails(ErrorCode.EUNTRUSTED, "belongs to user", () -> new ContextTrust(me + 1).requireFile(file));
        }
    }

    @Test
    void refusesAFolderInWhichEverybodyMayReplaceFiles() throws IOException, CaesuraException {
        mode(folder, "rwxrwxrwx");
        assertFails(
                ErrorCode.EUNTRUSTED, "folder", () -> ContextTrust.ofThisUser().requireFile(file));
        // A link somewhere safe does not help.
        Path safe = Files.createDirectory(folder.resolve("safe"));
        Path link = Files.createSymbolicLink(safe.resolve("link"), file);
        assertFails(
                ErrorCode.EUNTRUSTED, "folder", () -> ContextTrust.ofThisUser().requireFile(link));
        // With the sticky bit only the owner may replace them, as in /tmp.
        Files.setAttribute(folder, "unix:mode", 01777);
        ContextTrust.ofThisUser().requireFile(file);
    }

    @Test
    void namesAFileThatIsMissing() {
        assertFails(ErrorCode.ENOENT, "none", () -> ContextTrust.ofThisUser().requireFile(folder.resolve("none")));
    }
}
