package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.FakeCaptureEngine;
import io.caesura.fake.Faults;
import io.caesura.model.CaptureRequest;
import io.caesura.model.CaptureResult;
import io.caesura.model.Scope;
import io.caesura.model.ScopeKind;
import io.caesura.nativelib.NativeFiles;
import io.caesura.store.ContextTarget;
import io.caesura.store.FdTarget;
import io.caesura.store.FileTarget;
import io.caesura.store.RawFiles;
import io.caesura.store.ReplacePolicy;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The flow of a checkpoint with a single file as its target. */
class CheckpointFileTest {

    private static final int ENOSPC = 28;
    private static final int EIO = 5;

    @TempDir
    Path folder;

    private final Faults faults = new Faults(new NativeFiles());
    private final RawFiles raw = faults.files();
    private final FakeCaptureEngine engine = new FakeCaptureEngine(new NativeFiles());
    private Path file;

    @BeforeEach
    void name() {
        file = folder.resolve("context.7");
    }

    private ContextTarget target(ReplacePolicy policy) throws CaesuraException {
        return new FileTarget(raw, file.toString(), policy, null, true);
    }

    private CaptureResult run(ContextTarget target, int signal) throws CaesuraException {
        CaptureRequest request =
                new CaptureRequest(new Scope(ScopeKind.TREE, 7), Set.of(), 1, Duration.ZERO, 1 << 20, List.of(), null);
        return new Checkpoint(engine, (level, line) -> {}, (done, total) -> {}).run(request, target, signal);
    }

    private void old(String text) throws IOException {
        Files.writeString(file, text);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("r--------"));
    }

    private List<String> names() throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.map(p -> p.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void releasesBeforeItSyncsWhenNoSignalIsWanted() throws CaesuraException, IOException {
        CaptureResult result = run(target(ReplacePolicy.ATOMIC), 0);
        assertThat(engine.diary).containsExactly("freeze", "write 1", "release", "close");
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
        assertThat(Files.getPosixFilePermissions(file)).isEqualTo(PosixFilePermissions.fromString("r--------"));
        assertThat(result.pause()).isEqualTo(Duration.ofMillis(12));
        assertThat(names()).containsExactly("context.7");
    }

    @Test
    void syncsFileThenRenamesThenSyncsFolder() throws CaesuraException {
        run(target(ReplacePolicy.ATOMIC), 0);
        assertThat(faults.changes)
                .containsExactly("openAt .context.7.tmp", "fsync", "rename .context.7.tmp context.7", "fsync");
    }

    @Test
    void nosyncLeavesTheSyncsOut() throws CaesuraException {
        run(new FileTarget(raw, file.toString(), ReplacePolicy.ATOMIC, null, false), 0);
        assertThat(faults.changes).containsExactly("openAt .context.7.tmp", "rename .context.7.tmp context.7");
    }

    @Test
    void theContextIsSafeBeforeASignalIsLetLoose() throws CaesuraException {
        FakeCaptureEngine[] seen = {engine};
        Faults watched = new Faults(new NativeFiles());
        watched.fail(EIO, (method, arguments) -> {
            if (method.equals("fsync") || method.equals("rename")) {
                assertThat(seen[0].diary).doesNotContain("release", "signal 15");
            }
            return false;
        });
        run(new FileTarget(watched.files(), file.toString(), ReplacePolicy.ATOMIC, null, true), 15);
        assertThat(engine.diary).containsExactly("freeze", "write 1", "signal 15", "release", "close");
        assertThat(watched.changes).contains("rename .context.7.tmp context.7");
    }

    @Test
    void aFailedSignalLeavesTheContext() {
        engine.signalFailure = Optional.of(new CaesuraException(ErrorCode.EPERM, "no"));
        assertFails(ErrorCode.EPERM, () -> run(target(ReplacePolicy.ATOMIC), 9));
        assertThat(file).exists();
        assertThat(engine.diary).endsWith("release and close");
    }

    @ParameterizedTest
    @EnumSource(
            value = ReplacePolicy.class,
            names = {"ATOMIC", "BACKUP"})
    void aFailedWriteLeavesTheOldContext(ReplacePolicy policy) throws IOException {
        old("old");
        engine.writeFailure = Optional.of(new CaesuraException(ErrorCode.ENOSPC, "disk full"));
        assertFails(ErrorCode.ENOSPC, () -> run(target(policy), 0));
        assertThat(file).hasContent("old");
        assertThat(names()).containsExactly("context.7");
        assertThat(engine.diary).containsExactly("freeze", "write 1", "release and close");
    }

    @Test
    void aFullDiskAtTheSyncLeavesTheOldContextAndTheScopeRuns() throws IOException {
        old("old");
        faults.fail(ENOSPC, "fsync");
        assertFails(ErrorCode.ENOSPC, () -> run(target(ReplacePolicy.ATOMIC), 0));
        assertThat(file).hasContent("old");
        assertThat(names()).containsExactly("context.7");
        assertThat(engine.diary).contains("release");
    }

    @Test
    void aFullDiskAtTheSyncKeepsTheSignalBack() {
        faults.fail(ENOSPC, "fsync");
        assertFails(ErrorCode.ENOSPC, () -> run(target(ReplacePolicy.ATOMIC), 9));
        assertThat(engine.diary).containsExactly("freeze", "write 1", "release and close");
    }

    @Test
    void aFailedRenameTakesTheTemporaryFileAway() throws IOException {
        faults.fail(EIO, "rename");
        assertFails(ErrorCode.EIO, () -> run(target(ReplacePolicy.ATOMIC), 0));
        assertThat(names()).isEmpty();
    }

    @Test
    void aTargetThatCannotBeMadeDisturbsNobody() {
        file = folder.resolve("none/context.7");
        assertFails(ErrorCode.ENOENT, () -> run(target(ReplacePolicy.ATOMIC), 0));
        assertThat(engine.diary).isEmpty();
    }

    @Test
    void aRefusedScopeLeavesNoFile() throws IOException {
        engine.openFailure = Optional.of(new CaesuraException(ErrorCode.EUNSUPPORTED, "a camera"));
        assertFails(ErrorCode.EUNSUPPORTED, () -> run(target(ReplacePolicy.ATOMIC), 0));
        assertThat(names()).isEmpty();
    }

    @Test
    void powerFailureAtAnyMomentLeavesTheOldOrTheNewContextWhole() throws IOException, CaesuraException {
        int change = 0;
        boolean completed = false;
        while (!completed) {
            Files.deleteIfExists(file);
            old("old");
            Faults failing = new Faults(new NativeFiles());
            failing.failPowerBefore(change++);
            ContextTarget target = new FileTarget(failing.files(), file.toString(), ReplacePolicy.ATOMIC, null, true);
            try {
                run(target, 0);
                completed = true;
            } catch (Faults.PowerFailure e) {
                assertThat(e).hasMessage("power failure");
            }
            assertThat(Files.readString(file)).isIn("old", FakeCaptureEngine.WHOLE);
        }
        assertThat(change).isGreaterThan(4);
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
    }

    @Test
    void removesWhatADeadWriterLeft() throws IOException, CaesuraException {
        Files.writeString(folder.resolve(".context.7.tmp"), "half");
        run(target(ReplacePolicy.ATOMIC), 0);
        assertThat(names()).containsExactly("context.7");
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
    }

    @Test
    void twoCheckpointsToOneTargetDoNotMix() throws CaesuraException, IOException {
        FileTarget first = new FileTarget(raw, file.toString(), ReplacePolicy.ATOMIC, null, true);
        first.prepare();
        assertFails(ErrorCode.EBUSY, () -> run(target(ReplacePolicy.ATOMIC), 0));
        assertThat(names()).containsExactly(".context.7.tmp");
        first.abort();
        first.close();
        assertThat(names()).isEmpty();
    }

    @Test
    void noclobberLeavesAnExistingFileAlone() throws IOException {
        old("old");
        assertFails(ErrorCode.EEXIST, () -> run(target(ReplacePolicy.NOCLOBBER), 0));
        assertThat(file).hasContent("old");
        assertThat(engine.diary).isEmpty();
    }

    @Test
    void noclobberLeavesAFileAloneThatAppearsInTheMeantime() throws IOException {
        engine.duringWrite = () -> {
            try {
                old("new one");
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        };
        assertFails(ErrorCode.EEXIST, () -> run(target(ReplacePolicy.NOCLOBBER), 0));
        assertThat(file).hasContent("new one");
        assertThat(names()).containsExactly("context.7");
    }

    @Test
    void noclobberWorksWhereTheFileSystemCannotRenameWithFlags() throws CaesuraException, IOException {
        faults.fail(22, (method, arguments) -> method.equals("rename") && !arguments[3].equals(0));
        run(target(ReplacePolicy.NOCLOBBER), 0);
        assertThat(names()).containsExactly("context.7");
        assertFails(ErrorCode.EEXIST, () -> run(target(ReplacePolicy.NOCLOBBER), 0));
    }

    @Test
    void backupsGetTheFirstFreeNumber() throws IOException, CaesuraException {
        old("one");
        run(target(ReplacePolicy.BACKUP), 0);
        run(target(ReplacePolicy.BACKUP), 0);
        assertThat(names()).containsExactly("context.7", "context.7.~1~", "context.7.~2~");
        assertThat(folder.resolve("context.7.~1~")).hasContent("one");
        Files.delete(folder.resolve("context.7.~1~"));
        run(target(ReplacePolicy.BACKUP), 0);
        assertThat(names()).containsExactly("context.7", "context.7.~1~", "context.7.~2~");
    }

    @Test
    void aBackupCanHaveAName() throws IOException, CaesuraException {
        old("old");
        String name = folder.resolve("saved").toString();
        run(new FileTarget(raw, file.toString(), ReplacePolicy.BACKUP, name, true), 0);
        assertThat(folder.resolve("saved")).hasContent("old");
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
    }

    @Test
    void aBackupOfNothingIsNoError() throws IOException, CaesuraException {
        run(target(ReplacePolicy.BACKUP), 0);
        assertThat(names()).containsExactly("context.7");
    }

    @Test
    void clobberOverwritesAReadOnlyContextInPlace() throws IOException, CaesuraException {
        old("old and much longer than the new one");
        run(target(ReplacePolicy.CLOBBER), 0);
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
        assertThat(faults.changes).noneMatch(change -> change.startsWith("rename"));
    }

    @Test
    void clobberRemovesTheFileIfItFails() throws IOException {
        old("old");
        engine.writeFailure = Optional.of(new CaesuraException(ErrorCode.EIO, "x"));
        assertFails(ErrorCode.EIO, () -> run(target(ReplacePolicy.CLOBBER), 0));
        assertThat(names()).isEmpty();
    }

    @Test
    void aFolderIsRefused() throws IOException {
        Files.createDirectory(file);
        assertFails(ErrorCode.EISDIR, () -> run(target(ReplacePolicy.ATOMIC), 0));
        assertFails(ErrorCode.EISDIR, () -> new FileTarget(raw, folder + "/", ReplacePolicy.ATOMIC, null, true));
    }

    @Test
    void aDeviceIsRefusedAndNotReplaced() {
        file = Path.of("/dev/null");
        assertFails(ErrorCode.EINVAL, () -> run(target(ReplacePolicy.ATOMIC), 0));
        assertThat(engine.diary).isEmpty();
    }

    @Test
    void aFifoIsWrittenToAndStays() throws IOException, InterruptedException, CaesuraException {
        assertThat(new ProcessBuilder("mkfifo", file.toString()).start().waitFor())
                .isZero();
        assertFails(ErrorCode.ENXIO, () -> run(target(ReplacePolicy.ATOMIC), 0));
        Process reader = new ProcessBuilder("cat", file.toString()).start();
        // cat opens the FIFO a moment later.
        CaesuraException last = null;
        for (int i = 0; i < 500; i++) {
            try {
                run(target(ReplacePolicy.ATOMIC), 0);
                last = null;
                break;
            } catch (CaesuraException e) {
                last = e;
                Thread.sleep(10);
            }
        }
        assertThat(last).isNull();
        assertThat(new String(reader.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                .isEqualTo(FakeCaptureEngine.WHOLE);
        assertThat(new FileTarget(raw, file.toString(), ReplacePolicy.ATOMIC, null, true).name())
                .isEqualTo(file.toString());
        assertThat(Files.getAttribute(file, "unix:mode")).matches(mode -> ((Integer) mode & 0170000) == 0010000);
    }

    @Test
    void anAbortedTargetCannotBeCommitted() throws IOException {
        ContextTarget[] target = new ContextTarget[1];
        engine.duringWrite = () -> target[0].abort();
        assertFails(ErrorCode.ETIMEDOUT, () -> {
            target[0] = target(ReplacePolicy.ATOMIC);
            run(target[0], 0);
        });
        assertThat(names()).isEmpty();
    }

    @Test
    void writesToAnInheritedDescriptor() throws CaesuraException {
        int descriptor = raw.openAt(RawFiles.AT_FDCWD, file.toString(), RawFiles.O_WRONLY | RawFiles.O_CREAT, 0600);
        run(new FdTarget(raw, descriptor, true), 0);
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
        raw.close(descriptor);
        assertFails(ErrorCode.EBADF, () -> run(new FdTarget(raw, descriptor, true), 0));
    }
}
