package io.caesura.scheduler;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.FakePrograms;
import io.caesura.scheduler.JobState.Base;
import io.caesura.scheduler.ProgramRunner.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PbsSchedulerTest {

    private static final String BIN = "/opt/pbs/bin/";

    @TempDir
    Path folder;

    private final FakePrograms programs = new FakePrograms().on(BIN, "").on("id -u -- pbsuser", "44101\n");
    private final PbsScheduler outside = new PbsScheduler(programs, BIN, Optional.empty());

    private PbsScheduler inside(String id) throws IOException {
        Path runtime = Files.createDirectories(folder.resolve("run/" + id));
        return new PbsScheduler(programs, BIN, Optional.of(new PbsScheduler.Own(id, runtime)));
    }

    private String lastCall() {
        return programs.calls().get(programs.calls().size() - 1);
    }

    private void shows(String name) {
        programs.on(BIN + "qstat", Fixture.pbs("qstat-" + name + ".json"));
    }

    @Test
    void everyOrderIsOneCommandOfPbs() throws CaesuraException {
        outside.requeue("23.pbslab");
        assertThat(lastCall()).isEqualTo(BIN + "qrerun 23.pbslab");
        outside.release("23");
        assertThat(lastCall()).isEqualTo(BIN + "qrls 23");
        outside.cancel("23[2]");
        assertThat(lastCall()).isEqualTo(BIN + "qdel 23[2]");
        outside.askCheckpoint("23");
        assertThat(lastCall()).isEqualTo(BIN + "qsig -s URG 23");
        outside.drain("n1", "new memory");
        assertThat(lastCall()).isEqualTo(BIN + "pbsnodes -o -C new memory n1");
    }

    @Test
    void aJobRequeuesItselfThroughTheEpilogue() throws CaesuraException, IOException {
        PbsScheduler pbs = inside("3.pbslab");
        pbs.requeue("3.pbslab");
        pbs.requeue("3.pbslab");
        assertThat(folder.resolve("run/3.pbslab/requeue")).isEmptyFile();
        assertThat(programs.calls()).isEmpty();
        pbs.requeue("4.pbslab");
        assertThat(lastCall()).isEqualTo(BIN + "qrerun 4.pbslab");
    }

    @Test
    void withoutItsFolderARequeueFails() {
        PbsScheduler pbs =
                new PbsScheduler(programs, BIN, Optional.of(new PbsScheduler.Own("3.pbslab", folder.resolve("gone"))));
        assertFails(ErrorCode.ESCHEDULER, "gone", () -> pbs.requeue("3.pbslab"));
    }

    /** MoM's action refuses the hold, so that its own restart is never used; PBS holds the job all the same. */
    @Test
    void holdingAJobThatRuns() throws CaesuraException {
        shows("running");
        programs.on(BIN + "qhold", new Outcome(213, "", "qhold: MOM rejected hold request: 15061 1.pbslab\n"));
        outside.hold("1");
        assertThat(programs.calls())
                .containsExactly(BIN + "qstat -x -f -F json 1", BIN + "qhold 1.pbslab", BIN + "qsig -s URG 1.pbslab");
    }

    @Test
    void holdingAJobThatWaits() throws CaesuraException {
        shows("rerun");
        outside.hold("3.pbslab");
        assertThat(lastCall()).isEqualTo(BIN + "qhold 3.pbslab");
    }

    @Test
    void aHeldJobThatRunsLeaves() throws CaesuraException, IOException {
        shows("hold-running");
        PbsScheduler pbs = inside("5.pbslab");
        assertThat(pbs.state("5.pbslab").held()).isTrue();
        pbs.hold("5.pbslab");
        assertThat(programs.calls()).noneMatch(call -> call.contains("qhold") || call.contains("qsig"));
        assertThat(folder.resolve("run/5.pbslab/requeue")).exists();
    }

    @Test
    void aHoldThatIsRefused() {
        shows("running");
        programs.on(BIN + "qhold", new Outcome(159, "", "qhold: Unauthorized Request  1.pbslab\n"));
        assertFails(ErrorCode.EPERM, "Unauthorized", () -> outside.hold("1"));
    }

    /** Without a terminate action of MoM, qstat shows a deleted job as any other until it has ended. */
    @Test
    void theHooksMarkOfADeletion() throws CaesuraException, IOException {
        shows("running");
        PbsScheduler pbs = inside("1.pbslab");
        assertThat(pbs.state("1.pbslab").base()).isEqualTo(Base.RUNNING);
        Files.createFile(folder.resolve("run/1.pbslab.deleted"));
        assertThat(pbs.state("1.pbslab").base()).isEqualTo(Base.CANCELLED);
        assertThat(outside.state("1.pbslab").base()).isEqualTo(Base.RUNNING);
    }

    @Test
    void listing() throws CaesuraException {
        shows("running");
        ListedJob job = outside.list(JobFilter.ALL).get(0);
        assertThat(programs.calls()).contains(BIN + "qstat -t -f -F json");
        assertThat(job.userId()).isEqualTo(44101);
        assertThat(outside.list(JobFilter.ofUser("pbsuser"))).hasSize(1);
        assertThat(outside.list(JobFilter.ofUser("other"))).isEmpty();
        assertThat(outside.list(JobFilter.ofNode("n1"))).hasSize(1);
        assertThat(outside.list(JobFilter.ofNode("n"))).isEmpty();
        assertThat(outside.list(JobFilter.ofIds("1"))).hasSize(1);
        assertThat(lastCall()).isEqualTo("id -u -- pbsuser");
        assertFails(ErrorCode.ENOJOB, "ended", () -> outside.list(JobFilter.ofIds("2")));
    }

    @Test
    void whatPbsRefuses() {
        programs.on(BIN + "qrerun", new Outcome(159, "", "qrerun: Unauthorized Request  1.pbslab\n"));
        assertFails(ErrorCode.EPERM, "Unauthorized", () -> outside.requeue("1"));
        programs.on(BIN + "qstat", new Outcome(153, "{}", "qstat: Unknown Job Id 9.pbslab\n"));
        assertFails(ErrorCode.ENOJOB, "Unknown Job Id", () -> outside.state("9"));
        programs.on(BIN + "qdel", new Outcome(1, "", "qdel: cannot connect to server pbslab\n"));
        assertFails(ErrorCode.ESCHEDULER, "cannot connect", () -> outside.cancel("9"));
        for (String bad : List.of("", "x", "-x", "1;2", "1.pbs lab", "$(id)")) {
            assertFails(ErrorCode.EINVAL, "not the id", () -> outside.cancel(bad));
        }
    }

    @Test
    void whereItIsInstalled() throws IOException {
        Path conf = Files.writeString(folder.resolve("pbs.conf"), "# site\nPBS_SERVER=s\nPBS_EXEC=" + folder + "/x\n");
        Map<String, String> environment = Map.of("PBS_CONF_FILE", conf.toString());
        assertThat(PbsScheduler.installed(environment)).contains(folder + "/x");
        assertThat(PbsScheduler.isConfigured(environment)).isFalse();
        Files.createDirectories(folder.resolve("x/bin"));
        assertThat(Files.createFile(folder.resolve("x/bin/qstat")).toFile().setExecutable(true))
                .isTrue();
        assertThat(PbsScheduler.isConfigured(environment)).isTrue();
        assertThat(PbsScheduler.installed(Map.of("PBS_EXEC", "/elsewhere"))).contains("/elsewhere");
        assertThat(PbsScheduler.installed(Map.of("PBS_CONF_FILE", folder + "/none")))
                .isEmpty();
        assertThat(PbsScheduler.forPbs(Map.of("LC_ALL", "de_DE.UTF-8"))).containsEntry("LC_ALL", "C");
    }
}
