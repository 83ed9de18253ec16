package io.caesura.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.FakeCaptureEngine;
import io.caesura.model.CaptureFlag;
import io.caesura.model.CaptureRequest;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.model.Scope;
import io.caesura.model.ScopeKind;
import io.caesura.policy.Policy;
import io.caesura.store.JobFolder;
import io.caesura.store.RawFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** cr_checkpoint as it is called, option by option. */
class CheckpointCommandTest {

    @TempDir
    Path folder;

    private CommandFixture fixture;
    private Path file;

    @BeforeEach
    void setUp() {
        fixture = new CommandFixture(folder);
        file = folder.resolve("ctx");
    }

    /** Runs with -f FILE and the words given. */
    private int run(String words) {
        List<String> args = new ArrayList<>(List.of("cr_checkpoint", "-f", file.toString()));
        Arrays.stream(words.split(" ", -1)).filter(w -> !w.isEmpty()).forEach(args::add);
        return fixture.run(args.toArray(new String[0]));
    }

    private CaptureRequest request() {
        assertThat(fixture.err()).isEmpty();
        return fixture.engine.requests.get(fixture.engine.requests.size() - 1);
    }

    @ParameterizedTest
    @CsvSource({
        "7, TREE",
        "-T 7, TREE",
        "--tree 7, TREE",
        "-p 7, PID",
        "--pid 7, PID",
        "--process 7, PID",
        "-g 7, PGID",
        "--pgid 7, PGID",
        "--group 7, PGID",
        "-s 7, SID",
        "--sid 7, SID",
        "--session 7, SID",
        "-p -g -s 7, SID",
        "-s -T 7, TREE",
        "7 -p, PID",
        "-- 7, TREE",
        "--proc 7, PID"
    })
    void scope(String words, ScopeKind kind) {
        assertThat(run(words)).isZero();
        assertThat(request().scope()).isEqualTo(new Scope(kind, 7));
        assertThat(request().excludePid())
                .isEqualTo((int) ProcessHandle.current().pid());
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
    }

    @ParameterizedTest
    @CsvSource({
        "--run, 0",
        "-S 10, 10",
        "-S12, 12",
        "--signal 64, 64",
        "--signal=1, 1",
        "--stop, 19",
        "--term, 15",
        "--abort, 6",
        "--kill, 9",
        "--cont, 18",
        "--kill --term, 15",
        "--term --run, 0",
        "--stop --stop, 19",
        "--early-stop, 19",
        "--early-abrt, 6"
    })
    void signals(String words, int signal) {
        assertThat(run(words + " 7")).isZero();
        List<String> sent = fixture.engine.diary.stream()
                .filter(d -> d.startsWith("signal"))
                .toList();
        assertThat(sent).isEqualTo(signal == 0 ? List.of() : List.of("signal " + signal));
    }

    @ParameterizedTest
    @CsvSource({
        "--save-exe, SAVE_EXE",
        "--save-private, SAVE_PRIVATE",
        "--save-shared, SAVE_SHARED",
        "--save-all, SAVE_EXE SAVE_PRIVATE SAVE_SHARED",
        "--save-exe --save-shared, SAVE_EXE SAVE_SHARED",
        "--save-all --save-none, ''",
        "--save-none --save-exe, SAVE_EXE",
        "--ptraced-error, ''",
        "--ptraced-skip, PTRACED_SKIP",
        "--ptraced-allow, PTRACED_ALLOW",
        "--ptraced-skip --ptraced-allow, PTRACED_ALLOW",
        "--ptraced-skip --ptraced-error, ''",
        "--ptracer-skip, PTRACER_SKIP",
        "--require-libcr, REQUIRE_LIBCR",
        "--prohibit-self, PROHIBIT_SELF",
        "--ptracer-skip --ptracer-error, ''"
    })
    void flags(String words, String flags) {
        assertThat(run(words + " 7")).isZero();
        assertThat(request().flags())
                .containsExactlyInAnyOrder(Arrays.stream(flags.split(" ", -1))
                        .filter(f -> !f.isEmpty())
                        .map(CaptureFlag::valueOf)
                        .toArray(CaptureFlag[]::new));
    }

    @Test
    void filesToRollBack() {
        assertThat(run("--track /data/../data --track x --copy-limit 1G 7")).isZero();
        assertThat(request().track())
                .containsExactly("/data", Path.of("x").toAbsolutePath().toString());
        assertThat(request().copyLimitBytes()).isEqualTo(1 << 30);
        run("7");
        assertThat(request().copyLimitBytes()).isEqualTo(CaptureRequest.DEFAULT_COPY_LIMIT_BYTES);
        assertThat(request().track()).isEmpty();
    }

    @Test
    void timeLimit() {
        assertThat(run("-t 30 7")).isZero();
        assertThat(request().freezeLimit()).isEqualTo(Duration.ofSeconds(30));
        assertThat(run("--time=0 7")).isZero();
        assertThat(request().freezeLimit()).isZero();
    }

    @Test
    void theDefaultDestinationIsInTheWorkingFolder() throws IOException {
        // The one test that has to write where it stands; an ordinary user may be given a tree to read only.
        assumeTrue(Files.isWritable(Path.of("")), "the working folder cannot be written");
        Path expected = Path.of("context.424242");
        try {
            assertThat(fixture.run("cr_checkpoint", "424242")).isZero();
            assertThat(expected).hasContent(FakeCaptureEngine.WHOLE.strip());
            assertThat(fixture.run("cr_checkpoint", "-c", "--noclobber", "424242"))
                    .isEqualTo(17);
        } finally {
            Files.deleteIfExists(expected);
        }
    }

    @Test
    void aFolderGetsAFilePerProcess() {
        assertThat(fixture.run("cr_checkpoint", "-d", folder.resolve("set").toString(), "7"))
                .isZero();
        assertThat(folder.resolve("set/context.9")).hasContent(FakeCaptureEngine.WHOLE.strip());
    }

    @Test
    void anInheritedDescriptor() throws CaesuraException {
        int descriptor =
                fixture.raw.openAt(RawFiles.AT_FDCWD, file.toString(), RawFiles.O_WRONLY | RawFiles.O_CREAT, 0600);
        assertThat(fixture.run("cr_checkpoint", "-F", String.valueOf(descriptor), "7"))
                .isZero();
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
        fixture.raw.close(descriptor);
        int readOnly = fixture.raw.openAt(RawFiles.AT_FDCWD, file.toString(), RawFiles.O_RDONLY, 0);
        fixture.engine.diary.clear();
        assertThat(fixture.run("cr_checkpoint", "-F", String.valueOf(readOnly), "7"))
                .isEqualTo(9);
        assertThat(fixture.engine.diary).as("nobody was disturbed").isEmpty();
        fixture.raw.close(readOnly);
        assertThat(fixture.run("cr_checkpoint", "--fd=" + descriptor, "7")).isEqualTo(9);
        assertThat(fixture.err()).startsWith("cr_checkpoint: ").contains("descriptor " + descriptor);
    }

    @Test
    void replacePolicies() throws IOException {
        Files.writeString(file, "old");
        assertThat(run("--noclobber 7")).isEqualTo(17);
        assertThat(file).hasContent("old");
        assertThat(run("--noclobber --backup 7")).as("the last one counts").isZero();
        assertThat(folder.resolve("ctx.~1~")).hasContent("old");
        assertThat(run("--backup=" + folder.resolve("saved") + " 7")).isZero();
        assertThat(folder.resolve("saved")).exists();
        assertThat(run("--clobber 7")).isZero();
        assertThat(run("--atomic --nosync 7")).isZero();
    }

    @Test
    void theWordAfterBackupIsNotItsName() {
        assertThat(fixture.run("cr_checkpoint", "-f", file.toString(), "--backup", "7"))
                .isZero();
        assertThat(request().scope().id()).isEqualTo(7);
    }

    @ParameterizedTest
    @CsvSource({
        "-c, 22",
        "-d x, 22",
        "-F 1, 22",
        "-f y, 22",
        "-S 0, 22",
        "-S 65, 22",
        "-S -9, 22",
        "-t -1, 22",
        "--copy-limit huge, 22"
    })
    void contradictionsAndBadValues(String words, int status) {
        assertThat(run(words + " 7")).isEqualTo(status);
        assertThat(fixture.engine.diary).doesNotContain("freeze");
        assertThat(file).doesNotExist();
        assertThat(fixture.err()).startsWith("cr_checkpoint: ").contains("\nhint: ");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", "x", "7 8", "1.5", "--no-such-option 7", "-S x 7", "-t", "--job a 7", "-Z 7", "@file", "0x7"
            })
    void usageErrors(String words) {
        assertThat(run(words)).isEqualTo(255);
        assertThat(fixture.err()).startsWith("cr_checkpoint: ").contains("Usage: cr_checkpoint [options] ID");
        assertThat(fixture.engine.diary).isEmpty();
        assertThat(run("-q " + words)).isEqualTo(255);
        assertThat(fixture.err()).isEmpty();
    }

    @Test
    void aFailureExitsWithItsCodeAndSaysWhatToDo() {
        fixture.engine.openFailure =
                Optional.of(new CaesuraException(ErrorCode.EUNSUPPORTED, "pid 7: a camera", "close it"));
        assertThat(run("7")).isEqualTo(200);
        assertThat(fixture.err())
                .isEqualTo(
                        "- pid 7, descriptor 5: a camera; close it\ncr_checkpoint: pid 7: a camera\nhint: close it\n");
        assertThat(fixture.out()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "'', true, false",
        "--kmsg-error, true, false",
        "--kmsg-none, false, false",
        "--kmsg-warning, true, true",
        "--kmsg-warning --kmsg-none, false, false",
        "--kmsg-warning -q, false, false"
    })
    void logLines(String words, boolean onFailure, boolean onSuccess) {
        assertThat(run(words + " 7")).isZero();
        assertThat(fixture.err()).isEqualTo(onSuccess ? "- a warning\n" : "");
        fixture.engine.writeFailure = Optional.of(new CaesuraException(ErrorCode.EIO, "x"));
        assertThat(run(words + " 7")).isEqualTo(5);
        assertThat(fixture.err().startsWith("- a warning\n")).isEqualTo(onFailure);
    }

    @Test
    void quietFailsSilently() {
        fixture.engine.openFailure = Optional.of(new CaesuraException(ErrorCode.ESRCH, "no such process"));
        assertThat(run("--quiet 7")).isEqualTo(3);
        assertThat(fixture.err()).isEmpty();
    }

    @Test
    void verboseTellsTheTargetFileAndTheCost() {
        assertThat(run("-v 7")).isZero();
        assertThat(fixture.out()).isEqualTo("targetfile='" + file + "'\n");
        assertThat(fixture.err())
                .contains("cr_checkpoint: 3 processes, 4 threads, 4.9 KiB written, stopped for 12.0 ms");
    }

    @ParameterizedTest
    @ValueSource(strings = {"-?", "-h", "--help"})
    void help(String option) {
        assertThat(fixture.run("cr_checkpoint", option)).isZero();
        assertThat(fixture.out())
                .startsWith("Usage: cr_checkpoint [options] ID")
                .contains("--ptraced-allow");
        assertThat(fixture.out().lines()).allMatch(line -> line.length() <= 80);
        assertThat(fixture.err()).isEmpty();
    }

    @Test
    void version() {
        assertThat(fixture.run("cr_checkpoint", "--version")).isZero();
        assertThat(fixture.out()).matches("cr_checkpoint version \\d+\\.\\d+.*\n");
    }

    // ---- jobs ----

    private Path makeJob() throws CaesuraException {
        try (JobFolder job = fixture.jobs().create(Policy.BUILT_IN, JobName.parse("sim"))) {
            job.writeFacts(
                    // A policy whose file is gone: what was recorded of it holds.
                    new JobFacts("sim", "gone", Map.of("keep", 1), List.of("./sim"), "/work", "me", "now", null));
            int pid = fixture.host().ownPid();
            long ticks = fixture.host().startTicks(pid).orElseThrow();
            job.writeRun(
                    new RunIdentity(0, fixture.host().name(), fixture.host().bootId(), pid, ticks, 1, null));
            return job.path();
        }
    }

    @Test
    void aJobGoesIntoItsStore() throws CaesuraException {
        Path job = makeJob();
        assertThat(fixture.run("cr_checkpoint", "--job", "sim")).isZero();
        assertThat(fixture.out()).isEqualTo(job.resolve("000001") + "\n");
        assertThat(request().scope().kind()).isEqualTo(ScopeKind.JOB);
        assertThat(fixture.run("cr_checkpoint", "-j", "sim", "--term")).isZero();
        assertThat(fixture.engine.diary).contains("signal 15");
        assertThat(job.resolve("000001")).as("the job's policy keeps one").doesNotExist();
        assertThat(job.resolve("000002/manifest.json")).exists();
    }

    @Test
    void aJobCanGoElsewhere() throws CaesuraException {
        Path job = makeJob();
        assertThat(run("--job sim")).isZero();
        assertThat(file).hasContent(FakeCaptureEngine.WHOLE.strip());
        assertThat(job.resolve("000001")).doesNotExist();
    }

    @Test
    void anUnknownJob() {
        assertThat(fixture.run("cr_checkpoint", "--job", "none")).isEqualTo(209);
        assertThat(fixture.err()).contains("no job 'none'").contains("cr_info --jobs");
        assertThat(fixture.run("cr_checkpoint", "--job", "../x")).isEqualTo(22);
    }
}
