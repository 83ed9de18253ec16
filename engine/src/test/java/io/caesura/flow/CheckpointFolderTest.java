package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.FakeCaptureEngine;
import io.caesura.fake.Faults;
import io.caesura.model.CaptureRequest;
import io.caesura.model.Scope;
import io.caesura.model.ScopeKind;
import io.caesura.nativelib.NativeFiles;
import io.caesura.store.FolderTarget;
import io.caesura.store.RawFiles;
import io.caesura.store.ReplacePolicy;
import java.io.IOException;
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

/** The flow of a checkpoint with a folder as its target: one file per process. */
class CheckpointFolderTest {

    @TempDir
    Path top;

    private final Faults faults = new Faults(new NativeFiles());
    private final RawFiles raw = faults.files();
    private final FakeCaptureEngine engine = new FakeCaptureEngine(new NativeFiles());
    private Path folder;

    @BeforeEach
    void name() {
        folder = top.resolve("contexts");
    }

    private void run(ReplacePolicy policy) throws CaesuraException {
        CaptureRequest request =
                new CaptureRequest(new Scope(ScopeKind.SID, 7), Set.of(), 1, Duration.ZERO, 1 << 20, List.of(), null);
        new Checkpoint(engine, (level, line) -> {}, (done, total) -> {})
                .run(request, new FolderTarget(raw, folder.toString(), policy, null, true), 0);
    }

    private void old(String name) throws IOException {
        Files.createDirectory(folder);
        Files.writeString(folder.resolve(name), "old");
    }

    private static List<String> names(Path where) throws IOException {
        try (Stream<Path> entries = Files.list(where)) {
            return entries.map(p -> p.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void writesAFilePerProcess() throws CaesuraException, IOException {
        run(ReplacePolicy.ATOMIC);
        assertThat(names(folder)).containsExactly("context.7", "context.8", "context.9");
        assertThat(names(top)).containsExactly("contexts");
        assertThat(Files.getPosixFilePermissions(folder)).isEqualTo(PosixFilePermissions.fromString("rwx------"));
        assertThat(folder.resolve("context.8")).hasContent(FakeCaptureEngine.WHOLE.strip());
        assertThat(faults.changes)
                .containsSubsequence("fsync", "fsync", "fsync", "fsync", "rename .contexts.tmp contexts", "fsync");
    }

    @ParameterizedTest
    @EnumSource(
            value = ReplacePolicy.class,
            names = {"ATOMIC", "CLOBBER"})
    void replacesContexts(ReplacePolicy policy) throws CaesuraException, IOException {
        old("context.1");
        run(policy);
        assertThat(names(folder)).containsExactly("context.7", "context.8", "context.9");
        assertThat(names(top)).containsExactly("contexts");
    }

    @Test
    void replacesWhereTheFileSystemCannotExchange() throws CaesuraException, IOException {
        old("context.1");
        faults.fail(22, (method, arguments) -> method.equals("rename") && !arguments[3].equals(0));
        run(ReplacePolicy.ATOMIC);
        assertThat(names(folder)).containsExactly("context.7", "context.8", "context.9");
        assertThat(names(top)).containsExactly("contexts");
    }

    @Test
    void keepsABackup() throws CaesuraException, IOException {
        old("context.1");
        run(ReplacePolicy.BACKUP);
        assertThat(names(top)).containsExactly("contexts", "contexts.~1~");
        assertThat(names(top.resolve("contexts.~1~"))).containsExactly("context.1");
    }

    @ParameterizedTest
    @EnumSource(
            value = ReplacePolicy.class,
            names = {"ATOMIC", "BACKUP", "CLOBBER"})
    void neverReplacesAFolderWithOtherThings(ReplacePolicy policy) throws IOException {
        old("thesis.tex");
        assertFails(ErrorCode.EEXIST, "thesis.tex", () -> run(policy));
        assertThat(names(folder)).containsExactly("thesis.tex");
        assertThat(names(top)).containsExactly("contexts");
        assertThat(engine.diary).isEmpty();
    }

    @Test
    void noclobberLeavesAnExistingFolderAlone() throws IOException {
        old("context.1");
        assertFails(ErrorCode.EEXIST, () -> run(ReplacePolicy.NOCLOBBER));
        assertThat(names(folder)).containsExactly("context.1");
    }

    @Test
    void aFileIsNoFolder() throws IOException {
        Files.writeString(folder, "x");
        assertFails(ErrorCode.ENOTDIR, () -> run(ReplacePolicy.ATOMIC));
        assertThat(folder).hasContent("x");
    }

    @Test
    void aFailedWriteLeavesTheOldContexts() throws IOException {
        old("context.1");
        engine.writeFailure = Optional.of(new CaesuraException(ErrorCode.ENOSPC, "full"));
        assertFails(ErrorCode.ENOSPC, () -> run(ReplacePolicy.ATOMIC));
        assertThat(names(folder)).containsExactly("context.1");
        assertThat(names(top)).containsExactly("contexts");
    }

    @Test
    void twoCheckpointsToOneFolderDoNotMix() throws CaesuraException {
        try (FolderTarget first = new FolderTarget(raw, folder.toString(), ReplacePolicy.ATOMIC, null, true)) {
            first.prepare();
            assertFails(ErrorCode.EBUSY, () -> run(ReplacePolicy.ATOMIC));
        }
    }
}
