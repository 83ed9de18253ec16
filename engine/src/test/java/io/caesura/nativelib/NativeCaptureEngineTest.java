package io.caesura.nativelib;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.InstanceOfAssertFactories.type;

import io.caesura.capture.Capture;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureFlag;
import io.caesura.model.CaptureRequest;
import io.caesura.model.CaptureResult;
import io.caesura.model.Scope;
import io.caesura.model.ScopeKind;
import io.caesura.store.RawFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The mapping against a library that was compiled with caesura.h and tells what arrived. */
class NativeCaptureEngineTest {

    @TempDir
    static Path folder;

    private static NativeCaptureEngine engine;

    private final RawFiles raw = new NativeFiles();
    private final List<String> log = new ArrayList<>();

    @BeforeAll
    static void compile() throws IOException, InterruptedException, CaesuraException {
        engine = NativeCaptureEngine.load(compile("echo", "native/include").toString());
    }

    private static Path compile(String name, String headers) throws IOException, InterruptedException {
        Path library = folder.resolve("lib" + name + ".so");
        Process compiler = new ProcessBuilder(
                        "gcc",
                        "-shared",
                        "-fPIC",
                        "-D_GNU_SOURCE",
                        "-I" + headers,
                        "-o",
                        library.toString(),
                        "engine/src/test/native/echo_capture.c")
                .inheritIO()
                .start();
        assertThat(compiler.waitFor()).isZero();
        return library;
    }

    private static CaptureRequest request(int id) {
        return new CaptureRequest(
                new Scope(ScopeKind.JOB, id),
                Set.of(CaptureFlag.SAVE_EXE, CaptureFlag.PTRACER_SKIP),
                77,
                Duration.ofSeconds(3),
                1L << 40,
                List.of("/a b", "/ö"),
                "/store",
                new CaptureRequest.CallbackFacts(88, "/a/context", 9));
    }

    private Capture open(int id) throws CaesuraException {
        return engine.open(request(id), (level, line) -> log.add(level + " " + line));
    }

    @Test
    void handsOverEveryFieldOfARequest() throws CaesuraException {
        open(5).close();
        assertThat(log)
                .containsExactly(
                        "INFO scope=4 id=5 flags=41 exclude=77 timeout=3000 limit=1099511627776 path=/store"
                                + " to=/a/context by=88 signal=9",
                        "REFUSAL /a b",
                        "REFUSAL /ö",
                        "DEBUG close");
    }

    @Test
    void readsEveryFieldOfAResult() throws CaesuraException {
        try (Capture capture = open(5)) {
            assertThat(capture.pids()).containsExactly(100, 101);
            assertThat(capture.result())
                    .isEqualTo(new CaptureResult(
                            1,
                            2,
                            3,
                            4,
                            5,
                            6L << 40,
                            Duration.ofNanos(7),
                            Duration.ofNanos(8),
                            Duration.ofNanos(9),
                            "ab".repeat(16)));
        }
    }

    @Test
    void writesToTheDescriptorsGiven() throws CaesuraException, IOException {
        int file = raw.openAt(
                RawFiles.AT_FDCWD, folder.resolve("out").toString(), RawFiles.O_WRONLY | RawFiles.O_CREAT, 0600);
        List<Long> progress = new ArrayList<>();
        try (Capture capture = open(5)) {
            capture.write(new int[] {file, file}, (done, total) -> progress.addAll(List.of(done, total)));
        }
        raw.close(file);
        assertThat(folder.resolve("out")).hasContent("contextcontext");
        assertThat(progress).containsExactly(14L, 1L << 40);
    }

    @Test
    void turnsAFailureIntoAnExceptionWithCodeMessageAndRemedy() {
        assertThatThrownBy(() -> open(404))
                .asInstanceOf(type(CaesuraException.class))
                .satisfies(e -> {
                    assertThat(e.code()).isEqualTo(ErrorCode.ESRCH);
                    assertThat(e.getMessage()).isEqualTo("no process 404");
                    assertThat(e.remedy()).isEqualTo("do something älse");
                });
    }

    @Test
    void fillsInTheTablesTextWhereTheLibrarySaysNothing() throws CaesuraException {
        try (Capture capture = open(5)) {
            capture.signal(15);
            assertThat(log).contains("DEBUG signal=15");
            assertThatThrownBy(() -> capture.signal(13)).hasMessage(ErrorCode.EPERM.what());
        }
    }

    @Test
    void readsContexts() throws CaesuraException {
        engine.verify(new int[] {0});
        assertThatThrownBy(() -> engine.verify(new int[] {0, 0})).hasMessage("bad checksum");
        assertThat(engine.describe(new int[] {3, 4, 5})).isEqualTo("{\"count\": 3, \"name\": \"ä\"}");
    }

    @Test
    void releasesAndClosesOnce() throws CaesuraException {
        Capture capture = open(5);
        capture.release();
        capture.close();
        capture.close();
        assertThat(log).containsOnlyOnce("WARNING release").containsOnlyOnce("DEBUG close");
        assertThatThrownBy(capture::result).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void refusesCallsFromAnotherThread() throws CaesuraException, InterruptedException {
        try (Capture capture = open(5)) {
            AtomicReference<Throwable> thrown = new AtomicReference<>();
            Thread other = new Thread(() -> {
                try {
                    capture.release();
                } catch (IllegalStateException e) {
                    thrown.set(e);
                }
            });
            other.start();
            other.join();
            assertThat(thrown.get()).hasMessageContaining("thread");
        }
        assertThat(log).doesNotContain("WARNING release");
    }

    @Test
    void refusesALibraryWithOtherStructures() throws IOException, InterruptedException {
        Path headers = Files.createDirectory(folder.resolve("other"));
        String header = Files.readString(Path.of("native/include/caesura.h"));
        String changed = header.replace("uint8_t set_id[16]", "uint8_t set_id[24]");
        assertThat(changed).isNotEqualTo(header);
        Files.writeString(headers.resolve("caesura.h"), changed);
        Files.copy(Path.of("native/include/caesura_errors.def"), headers.resolve("caesura_errors.def"));
        String library = compile("other", headers.toString()).toString();
        assertThatThrownBy(() -> NativeCaptureEngine.load(library))
                .asInstanceOf(type(CaesuraException.class))
                .extracting(CaesuraException::code)
                .isEqualTo(ErrorCode.EVERSION);
    }

    @Test
    void saysWhenTheLibraryIsMissing() {
        assertThatThrownBy(() ->
                        NativeCaptureEngine.load(folder.resolve("libnone.so").toString()))
                .asInstanceOf(type(CaesuraException.class))
                .extracting(CaesuraException::code)
                .isEqualTo(ErrorCode.EENGINE);
    }
}
