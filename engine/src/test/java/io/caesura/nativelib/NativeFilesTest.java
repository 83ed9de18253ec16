package io.caesura.nativelib;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.InstanceOfAssertFactories.type;

import io.caesura.error.ErrorCode;
import io.caesura.store.Errno;
import io.caesura.store.FileFacts;
import io.caesura.store.OsException;
import io.caesura.store.RawFiles;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NativeFilesTest {

    @TempDir
    Path path;

    private final RawFiles raw = new NativeFiles();
    private int folder;

    @BeforeEach
    void open() throws OsException {
        folder = raw.openAt(RawFiles.AT_FDCWD, path.toString(), RawFiles.O_RDONLY | RawFiles.O_DIRECTORY, 0);
    }

    @AfterEach
    void close() {
        raw.close(folder);
    }

    private int create(String name) throws OsException {
        return raw.openAt(folder, name, RawFiles.O_RDWR | RawFiles.O_CREAT | RawFiles.O_EXCL, 0640);
    }

    private static void assertErrno(int errno, org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
        assertThatThrownBy(call)
                .asInstanceOf(type(OsException.class))
                .extracting(OsException::errno)
                .isEqualTo(errno);
    }

    @Test
    void writesAndReads() throws OsException {
        int file = create("a");
        raw.write(file, "x".repeat(200_000).getBytes(StandardCharsets.UTF_8));
        raw.fsync(file);
        raw.close(file);
        int again = raw.openAt(folder, "a", RawFiles.O_RDONLY, 0);
        assertThat(raw.read(again, 200_000)).hasSize(200_000);
        raw.close(again);
        int third = raw.openAt(folder, "a", RawFiles.O_RDONLY, 0);
        assertThatThrownBy(() -> raw.read(third, 199_999)).isInstanceOf(OsException.class);
        raw.close(third);
    }

    @Test
    void tellsWhatAFileIs() throws OsException, IOException {
        int file = create("a");
        raw.write(file, new byte[123]);
        FileFacts facts = raw.stat(file);
        assertThat(facts.sizeBytes()).isEqualTo(123);
        assertThat(facts.isRegular()).isTrue();
        assertThat(facts.uid()).isEqualTo(Files.getAttribute(path.resolve("a"), "unix:uid"));
        assertThat(facts.inode()).isEqualTo(Files.getAttribute(path.resolve("a"), "unix:ino"));
        assertThat(facts.mode()).isEqualTo(Files.getAttribute(path.resolve("a"), "unix:mode"));
        raw.link(folder, "a", "b");
        assertThat(raw.stat(file).links()).isEqualTo(2);
        assertThat(raw.stat(folder, "b"))
                .hasValueSatisfying(other -> assertThat(other.isSameAs(facts)).isTrue());
        assertThat(raw.stat(folder, "c")).isEmpty();
        assertThat(raw.stat(folder).isFolder()).isTrue();
        raw.close(file);
    }

    @Test
    void doesNotFollowALinkWhenLooking() throws OsException, IOException {
        Files.createSymbolicLink(path.resolve("link"), path);
        assertThat(raw.stat(folder, "link"))
                .hasValueSatisfying(facts -> assertThat(facts.isFolder()).isFalse());
    }

    @Test
    void seesWhoElseMayWrite() throws IOException, OsException {
        Path shared = Files.createDirectory(path.resolve("shared"));
        Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwxrwxrwx"));
        assertThat(raw.stat(folder, "shared"))
                .hasValueSatisfying(f -> assertThat(f.isOpenToOthers()).isTrue());
        assertThat(raw.stat(RawFiles.AT_FDCWD, "/tmp"))
                .hasValueSatisfying(f -> assertThat(f.isOpenToOthers()).isFalse());
    }

    @Test
    void renamesWithFlags() throws OsException {
        raw.close(create("a"));
        raw.makeFolder(folder, "f", 0700);
        assertErrno(Errno.EEXIST, () -> raw.rename(folder, "a", "f", RawFiles.RENAME_NOREPLACE));
        raw.rename(folder, "a", "f", RawFiles.RENAME_EXCHANGE);
        assertThat(path.resolve("a")).isDirectory();
        assertThat(raw.list(folder)).containsExactlyInAnyOrder("a", "f");
        raw.removeFolder(folder, "a");
        raw.unlink(folder, "f");
        assertThat(raw.list(folder)).isEmpty();
    }

    @Test
    void locksAcrossOpenFiles() throws OsException {
        int first = create("a");
        int second = raw.openAt(folder, "a", RawFiles.O_RDONLY, 0);
        assertThat(raw.tryLock(first)).isTrue();
        assertThat(raw.tryLock(second)).isFalse();
        raw.close(first);
        assertThat(raw.tryLock(second)).isTrue();
        raw.close(second);
    }

    @Test
    void namesTheFileAndTheReasonInAnError() {
        assertThatThrownBy(() -> raw.openAt(folder, "none", RawFiles.O_RDONLY, 0))
                .asInstanceOf(type(OsException.class))
                .satisfies(e -> {
                    assertThat(e).hasMessage("cannot open " + path + "/none: No such file or directory");
                    assertThat(e.code()).isEqualTo(ErrorCode.ENOENT);
                });
    }

    @Test
    void doesNotTakeALinuxErrorForOneOfBlcr() {
        // 52 is EBADE in Linux, and a process without libcr in BLCR.
        assertThat(new OsException(52, "x", "y").code()).isEqualTo(ErrorCode.EIO);
    }

    @Test
    void descriptorsAreNotInherited() throws OsException, IOException {
        int file = create("a");
        String flags = Files.readString(Path.of("/proc/self/fdinfo/" + file));
        assertThat(flags).containsPattern("flags:\\s+02\\d{6}");
        raw.close(file);
    }

    @Test
    void aFileIsNoTerminal() throws OsException {
        int file = create("a");
        assertThat(raw.isTerminal(file)).isFalse();
        raw.close(file);
    }
}
