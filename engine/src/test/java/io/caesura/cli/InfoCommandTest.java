package io.caesura.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureFlag;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.model.Scope;
import io.caesura.model.ScopeKind;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.store.JobFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class InfoCommandTest {

    private static final String CONTEXT = """
            {"scope": {"kind": 3, "id": 7, "host": "n17", "kernel": "6.1.0", "realtime_ns": 1767225600000000000},
             "descriptions": [{"id": 1, "position": 4096, "name": "/data/out.log"}],
             "processes": [
               {"pid": 7, "ppid": 1, "pgid": 7, "sid": 7, "state": 1, "command_line": "./sim\\u0000-n\\u00003",
                "threads": [{"tid": 7}, {"tid": 8}], "maps": [{"start": 4096, "end": 1052672}],
                "descriptors": [{"fd": 1, "description": 1}]},
               {"pid": 9, "ppid": 7, "pgid": 7, "sid": 7, "state": 3, "command_line": "", "exe": "/bin/x"}]}
            """;

    @TempDir
    Path folder;

    private CommandFixture fixture;
    private Path file;

    @BeforeEach
    void setUp() throws IOException {
        fixture = new CommandFixture(folder);
        fixture.engine.description = CONTEXT;
        file = folder.resolve("context.7");
        Files.writeString(file, "0123456789");
    }

    private int run(String... words) {
        String[] args = new String[words.length + 1];
        args[0] = "cr_info";
        System.arraycopy(words, 0, args, 1, words.length);
        return fixture.run(args);
    }

    @Test
    void showsAContext() {
        assertThat(run(file.toString())).isZero();
        assertThat(fixture.out())
                .startsWith(file + ": 10 B\nscope    tree 7\n")
                .contains("on n17, Linux 6.1.0")
                .containsPattern("7 +1 +7 +7 +running +2 +1.0 MiB +\\./sim -n 3\n")
                .containsPattern("9 +7 +7 +7 +zombie +0 +0 B +/bin/x\n")
                .containsPattern("7 +1 +4096 +/data/out.log\n");
    }

    @Test
    void showsAFolder() throws IOException {
        Files.writeString(folder.resolve("context.9"), "x");
        assertThat(run("-d", folder.toString())).isZero();
        assertThat(fixture.engine.diary).contains("describe 2");
        assertThat(run(folder.toString())).isZero();
        assertThat(fixture.out()).startsWith("2 files in " + folder + ": 11 B\n");
    }

    @Test
    void printsJsonAsItIs() {
        assertThat(run("--json", file.toString())).isZero();
        assertThat(fixture.out()).isEqualTo(CONTEXT + "\n");
    }

    @Test
    void failures() {
        assertThat(run()).isEqualTo(255);
        assertThat(run(file.toString(), "--jobs")).isEqualTo(255);
        assertThat(run(folder.resolve("none").toString())).isEqualTo(2);
        assertThat(fixture.err()).contains("none: No such file");
    }

    @ParameterizedTest
    @CsvSource({"-T, TREE", "-p, PID", "-g, PGID", "-s, SID"})
    void checksWithoutWriting(String option, ScopeKind kind) {
        assertThat(run("--check", "7", option)).isZero();
        assertThat(fixture.engine.requests.get(0).scope()).isEqualTo(new Scope(kind, 7));
        assertThat(fixture.engine.requests.get(0).flags()).containsExactly(CaptureFlag.CHECK_ONLY);
        assertThat(fixture.engine.diary).noneMatch(d -> d.startsWith("write"));
        assertThat(fixture.out()).contains("warning: a warning\n").contains("can be checkpointed\n");
    }

    @Test
    void printsEveryObstacle() {
        fixture.engine.openFailure = Optional.of(new CaesuraException(ErrorCode.EUNSUPPORTED, "obstacles", "x"));
        assertThat(run("--check", "7")).isEqualTo(200);
        assertThat(fixture.out()).isEqualTo("pid 7, descriptor 5: a camera; close it\n");
    }

    @Test
    void aProcessThatIsNotThereIsAnotherFailure() {
        fixture.engine.openFailure = Optional.of(new CaesuraException(ErrorCode.ESRCH, "no process 7"));
        assertThat(run("--check", "7")).isEqualTo(3);
        assertThat(fixture.err()).contains("no process 7");
    }

    private void makeJob(String name, Policy policy, RunIdentity run) throws CaesuraException {
        try (JobFolder job = fixture.jobs().create(policy, JobName.parse(name))) {
            job.writeFacts(
                    new JobFacts(name, "default", Map.of(), List.of("./" + name, "-x"), "/w", "me", "now", null));
            job.writeRun(run);
        }
    }

    @Test
    void listsJobsOfAllStores() throws CaesuraException {
        assertThat(run("--jobs")).isZero();
        assertThat(fixture.out()).isEqualTo("no jobs\n");
        String host = fixture.host().name();
        String boot = fixture.host().bootId();
        int pid = fixture.host().ownPid();
        long ticks = fixture.host().startTicks(pid).orElseThrow();
        Policy elsewhere = new Policies(List.of()).resolve("store.dir=" + folder.resolve("scratch"));
        makeJob("alive", Policy.BUILT_IN, new RunIdentity(0, host, boot, pid, ticks, 1, null));
        makeJob("ended", elsewhere, new RunIdentity(0, host, boot, pid, ticks, 1, 3 << 8));
        makeJob("killed", elsewhere, new RunIdentity(0, host, boot, pid, ticks, 1, 9));
        makeJob("lost", Policy.BUILT_IN, new RunIdentity(0, host, boot, pid, ticks + 1, 1, null));
        makeJob("away", Policy.BUILT_IN, new RunIdentity(0, "n18", "other", 5, 5, 1, null));
        fixture.run("cr_checkpoint", "--job", "alive");
        fixture.run("cr_checkpoint", "--job", "alive");
        assertThat(run("--jobs")).isZero();
        assertThat(fixture.out())
                .containsPattern("alive +running +000002 +\\d{4}-\\S+ +4.9 KiB +12.0 ms +./alive -x\n +000001 ")
                .containsPattern("ended +ended 3 +- ")
                .containsPattern("killed +signal 9 ")
                .containsPattern("lost +lost ")
                .containsPattern("away +on n18 ");
    }
}
