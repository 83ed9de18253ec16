package io.caesura.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.nativelib.Sockets;
import io.caesura.policy.Policy;
import io.caesura.store.JobFolder;
import io.caesura.store.RawFiles;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** cr_restart as it is called: the plan that it writes for the launcher. */
class RestartCommandTest {

    @TempDir
    Path folder;

    private CommandFixture fixture;
    private Path file;
    private String written = "";

    @BeforeEach
    void setUp() throws IOException {
        fixture = new CommandFixture(folder);
        file = folder.resolve("context.7");
        Files.writeString(file, "x");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("r--------"));
    }

    /** The status; what was written into the pipe is then in written. */
    private int run(String... words) throws CaesuraException {
        int[] pipe = Sockets.pipe();
        List<String> args = new ArrayList<>(List.of("cr_restart"));
        args.addAll(Arrays.asList(words));
        int status = fixture.run(Map.of("CAESURA_PLAN_FD", String.valueOf(pipe[1])), args.toArray(new String[0]));
        fixture.raw.close(pipe[1]);
        written = new String(fixture.raw.read(pipe[0], 1 << 16), StandardCharsets.UTF_8);
        fixture.raw.close(pipe[0]);
        return status;
    }

    private List<String> plan() throws IOException {
        String text = written;
        assertThat(text).endsWith("\0");
        return Arrays.asList(text.substring(0, text.length() - 1).split("\0", -1));
    }

    private void assertNoPlan() throws IOException {
        assertThat(written).isEmpty();
    }

    @Test
    void aFile() throws CaesuraException, IOException {
        assertThat(run(file.toString())).isZero();
        assertThat(plan()).containsExactly("cr-restore", "--pid-namespace=auto", "--", file.toString());
        assertThat(run("-f", file.toString())).isZero();
        assertThat(plan()).endsWith("--", file.toString());
        assertThat(fixture.err()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "--restore-pid, --restore-pid",
        "--no-restore-pid, --no-restore-pid",
        "--restore-pgid, --restore-pgid",
        "--restore-pgid --no-restore-pgid, --no-restore-pgid",
        "--restore-sid, --restore-sid",
        "--no-restore-sid, --no-restore-sid",
        "-S 10, --signal=10",
        "--stop, --signal=19",
        "--freeze, --signal=19",
        "--term --kill, --signal=9",
        "--abort, --signal=6",
        "--cont, --signal=18",
        "--relocate /a=/b, --relocate=/a=/b",
        "'--relocate /a\\=b=/c', '--relocate=/a\\=b=/c'",
        "--run-on-success=x, --run-on-success=x",
        "--run-on-fail-temp=x, --run-on-fail-temp=x",
        "--run-on-fail-env=x, --run-on-fail-env=x",
        "--run-on-fail-perm=x, --run-on-fail-perm=x",
        "--run-on-failure=x, --run-on-fail-temp=x --run-on-fail-env=x --run-on-fail-perm=x",
        "--run-on-failure=x --run-on-fail-env=y, --run-on-fail-temp=x --run-on-fail-env=y --run-on-fail-perm=x",
        "--aside /tmp/tails, --aside=/tmp/tails",
        "--allow-changed-files, --allow-changed-files",
        "-q, --quiet",
        "--kmsg-warning, --verbose",
        "--kmsg-none, ''",
        "--run, ''",
        "--relocate /a=/a/, ''",
        "--omit-maybe --omit-always --omit-never, ''"
    })
    void options(String words, String expected) throws CaesuraException, IOException {
        List<String> args = new ArrayList<>(Arrays.asList(words.split(" ", -1)));
        args.add(file.toString());
        assertThat(run(args.toArray(new String[0]))).isZero();
        List<String> all = new ArrayList<>(List.of("cr-restore", "--pid-namespace=auto"));
        Arrays.stream(expected.split(" ", -1)).filter(w -> !w.isEmpty()).forEach(all::add);
        all.addAll(List.of("--", file.toString()));
        assertThat(plan()).isEqualTo(all);
    }

    @ParameterizedTest
    @ValueSource(strings = {"auto", "current", "new"})
    void pidNamespaces(String where) throws CaesuraException, IOException {
        assertThat(run("--pid-namespace=" + where, file.toString())).isZero();
        assertThat(plan()).contains("--pid-namespace=" + where);
    }

    @Test
    void anInheritedDescriptor() throws CaesuraException, IOException {
        int descriptor = fixture.raw.openAt(RawFiles.AT_FDCWD, file.toString(), RawFiles.O_RDONLY, 0);
        assertThat(run("-F", String.valueOf(descriptor))).isZero();
        assertThat(plan()).endsWith("--fd", String.valueOf(descriptor));
        fixture.raw.close(descriptor);
    }

    @Test
    void aFolder() throws CaesuraException, IOException {
        Path set = Files.createDirectory(folder.resolve("set"));
        for (String name : List.of("context.12", "context.7", "notes")) {
            Files.writeString(set.resolve(name), "x");
        }
        assertThat(run("-d", set.toString())).isZero();
        assertThat(plan()).endsWith("--", set + "/context.12", set + "/context.7");
    }

    @ParameterizedTest
    @CsvSource({
        "--relocate nonsense, 22",
        "--relocate a=b, 22",
        "-S 99, 22",
        "--pid-namespace=none, 22",
        "-f other, 22",
    })
    void badArguments(String words, int status) throws CaesuraException, IOException {
        List<String> args = new ArrayList<>(Arrays.asList(words.split(" ", -1)));
        args.addAll(List.of("-f", file.toString()));
        assertThat(run(args.toArray(new String[0]))).isEqualTo(status);
        assertNoPlan();
        assertThat(fixture.err()).startsWith("cr_restart: ").contains("\nhint: ");
    }

    @Test
    void atMostSixteenRelocations() throws CaesuraException, IOException {
        List<String> args = new ArrayList<>();
        for (int i = 0; i < 17; i++) {
            args.add("--relocate=/a" + i + "=/b");
        }
        args.add(file.toString());
        assertThat(run(args.toArray(new String[0]))).isEqualTo(22);
        args.remove(0);
        assertThat(run(args.toArray(new String[0]))).isZero();
        assertThat(plan()).hasSize(2 + 16 + 2);
    }

    @Test
    void usage() throws CaesuraException, IOException {
        assertThat(run()).isEqualTo(255);
        assertThat(run(file.toString(), file.toString())).isEqualTo(255);
        assertThat(run("-f", file.toString(), file.toString())).isEqualTo(255);
        assertThat(run("--nonsense", file.toString())).isEqualTo(255);
        assertNoPlan();
    }

    @Test
    void aFileThatCannotBeOpened() throws CaesuraException, IOException {
        assertThat(run(folder.resolve("none").toString())).isEqualTo(255);
        assertThat(fixture.err()).contains("no such file");
        assertThat(run(folder.toString())).isEqualTo(21);
        assertNoPlan();
    }

    @Test
    void aFileThatOthersCouldHaveWritten() throws CaesuraException, IOException {
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-rw----"));
        assertThat(run(file.toString())).isEqualTo(206);
        assertNoPlan();
        int descriptor = fixture.raw.openAt(RawFiles.AT_FDCWD, file.toString(), RawFiles.O_RDONLY, 0);
        assertThat(run("-F", String.valueOf(descriptor))).isEqualTo(206);
        fixture.raw.close(descriptor);
    }

    @Test
    void versionIsMinusV() throws CaesuraException, IOException {
        assertThat(run("-v")).isZero();
        assertThat(fixture.out()).startsWith("cr_restart version ");
        assertThat(run("--help")).isZero();
        assertNoPlan();
    }

    // ---- the descriptor for the plan ----

    @Test
    void withoutALauncherNothingIsWrittenAnywhere() throws IOException {
        assertThat(fixture.run("cr_restart", file.toString())).isEqualTo(211);
        assertThat(fixture.err()).contains("CAESURA_PLAN_FD is not set");
    }

    @Test
    void aDescriptorThatIsNoPipeIsLeftAlone() throws CaesuraException, IOException {
        // Without a launcher a low number is a file that the JVM has open, such as the modules of the JDK.
        Path precious = folder.resolve("precious");
        Files.writeString(precious, "precious");
        for (int flags : new int[] {RawFiles.O_RDONLY, RawFiles.O_RDWR}) {
            int descriptor = fixture.raw.openAt(RawFiles.AT_FDCWD, precious.toString(), flags, 0);
            Map<String, String> environment = Map.of("CAESURA_PLAN_FD", String.valueOf(descriptor));
            assertThat(fixture.run(environment, "cr_restart", file.toString())).isEqualTo(211);
            fixture.raw.close(descriptor);
            assertThat(precious).hasContent("precious");
        }
    }

    // ---- hooks ----

    @Test
    void aHookWithAStatusReplacesTheFailure() throws CaesuraException {
        Path mark = folder.resolve("mark");
        String missing = folder.resolve("none").toString();
        assertThat(run("--run-on-fail-args=touch " + mark + "; exit 42", missing))
                .isEqualTo(42);
        assertThat(fixture.err()).isEmpty();
        assertThat(mark).exists();
    }

    @Test
    void aHookThatEndsWellLeavesTheFailure() throws CaesuraException {
        Path mark = folder.resolve("mark");
        String missing = folder.resolve("none").toString();
        assertThat(run("--run-on-failure", "touch " + mark, missing)).isEqualTo(255);
        assertThat(fixture.err()).contains("no such file");
        assertThat(mark).exists();
    }

    @ParameterizedTest
    @CsvSource({"--relocate x", "--nonsense", "-S 99"})
    void badArgumentsRunTheHookForArguments(String words) throws CaesuraException {
        List<String> args = new ArrayList<>(List.of("--run-on-fail-args=exit 3", "--run-on-fail-perm=exit 4"));
        args.addAll(Arrays.asList(words.split(" ", -1)));
        args.add(file.toString());
        assertThat(run(args.toArray(new String[0]))).isEqualTo(3);
    }

    @Test
    void anUntrustedFileRunsTheHookForWhatDoesNotPass() throws CaesuraException, IOException {
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-rw----"));
        assertThat(run("--run-on-fail-args=exit 3", "--run-on-fail-perm=exit 4", file.toString()))
                .isEqualTo(4);
    }

    // ---- jobs ----

    private Path makeJob() throws CaesuraException {
        try (JobFolder job = fixture.jobs().create(Policy.BUILT_IN, JobName.parse("sim"))) {
            job.writeFacts(new JobFacts("sim", "default", Map.of(), List.of("./sim"), "/work", "me", "now", null));
            int pid = fixture.host().ownPid();
            long ticks = fixture.host().startTicks(pid).orElseThrow();
            job.writeRun(
                    new RunIdentity(0, fixture.host().name(), fixture.host().bootId(), pid, ticks, 1, null));
            return job.path();
        }
    }

    private void endJob() throws CaesuraException {
        try (JobFolder job = fixture.jobs().open(JobName.parse("sim"))) {
            job.writeRun(job.run().orElseThrow().withEnd(9));
        }
    }

    @Test
    void aJobGoesOnFromItsNewestGoodContext() throws CaesuraException, IOException {
        Path job = makeJob();
        fixture.run("cr_checkpoint", "--job", "sim");
        fixture.run("cr_checkpoint", "--job", "sim");
        assertThat(run("--job", "sim")).as("it still runs").isEqualTo(16);
        endJob();
        String name = "context." + fixture.host().ownPid();
        assertThat(run("--job", "sim")).isZero();
        assertThat(plan())
                .containsExactly(
                        "cr-restore",
                        "--pid-namespace=auto",
                        "--aside=" + job + "/000002/aside",
                        "--job=" + job,
                        "--",
                        job + "/000002/" + name);
        Files.writeString(job.resolve("000002").resolve(name), "whole cXntext\n");
        assertThat(run("--job", "sim")).isZero();
        assertThat(plan()).endsWith(job + "/000001/" + name);
        assertThat(fixture.err()).contains("000002 is not usable").contains("trying the one before");
    }

    @Test
    void aJobWithoutAGoodContext() throws CaesuraException, IOException {
        makeJob();
        endJob();
        assertThat(run("--job", "sim")).isEqualTo(209);
        assertThat(run("--job", "other")).isEqualTo(209);
        assertThat(run("--run-on-fail-perm=exit 7", "--job", "other")).isEqualTo(7);
        assertNoPlan();
        assertThat(run("--job", "sim", file.toString())).isEqualTo(255);
    }
}
