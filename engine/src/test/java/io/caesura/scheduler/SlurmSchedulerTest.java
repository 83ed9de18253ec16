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
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SlurmSchedulerTest {

    private final FakePrograms programs = new FakePrograms()
            .on("squeue", Fixture.slurm("squeue-completing.txt"))
            .on("scontrol", "")
            .on("scancel", "");
    private final SlurmScheduler slurm = new SlurmScheduler(programs, Optional.empty(), Optional.empty());

    private String lastCall() {
        return programs.calls().get(programs.calls().size() - 1);
    }

    @Test
    void everyOrderIsOneCommandOfSlurm() throws CaesuraException {
        slurm.requeue("23");
        assertThat(lastCall()).isEqualTo("scontrol requeue 23");
        slurm.release("27");
        assertThat(lastCall()).isEqualTo("scontrol release 27");
        slurm.cancel("23");
        assertThat(lastCall()).isEqualTo("scancel 23");
        slurm.askCheckpoint("23");
        assertThat(lastCall()).isEqualTo("scancel --batch --signal=URG 23");
        slurm.drain("n1", "new memory");
        assertThat(lastCall()).isEqualTo("scontrol update nodename=n1 state=drain reason=new memory");
    }

    /** To Slurm the number of an array is all of its tasks, and one of these has it for its SLURM_JOB_ID. */
    @Test
    void theNumberOfATaskMeansThatTaskAlone() throws CaesuraException {
        programs.on(
                "squeue",
                "15_3|15|root|0|low|RUNNING|n1|0|N/A|1|NONE|1|1|\n15_2|17|root|0|low|RUNNING|n2|0|N/A|1|2|1|1|\n");
        slurm.requeue("15");
        assertThat(lastCall()).isEqualTo("scontrol requeue 15_3");
        slurm.cancel("17");
        assertThat(lastCall()).isEqualTo("scancel 15_2");
    }

    @Test
    void aNumberThatIsSeveralWaitingTasksIsRefused() {
        assertFails(ErrorCode.EINVAL, "several tasks", () -> slurm.requeue("22"));
        assertThat(programs.calls()).noneMatch(call -> call.startsWith("scontrol"));
    }

    @Test
    void holdingDependsOnWhetherTheJobRuns() throws CaesuraException {
        slurm.hold("22_2");
        assertThat(lastCall()).isEqualTo("scontrol requeuehold 22_2");
        slurm.hold("27");
        assertThat(lastCall()).isEqualTo("scontrol hold 27");
        // Requeued, but its processes have not ended.
        slurm.hold("22_1");
        assertThat(lastCall()).isEqualTo("scontrol hold 22_1");
    }

    @Test
    void aJobThatStillEndsIsGivenAStartInTheFuture() throws CaesuraException {
        slurm.startNow("22_1");
        assertThat(lastCall()).isEqualTo("scontrol update jobid=22_1 StartTime=now+10");
        slurm.startNow("27");
        assertThat(lastCall()).isEqualTo("scontrol update jobid=27 StartTime=now");
    }

    @Test
    void withoutTheProgramForLibslurmTheStateIsThatOfSqueue() throws CaesuraException {
        assertThat(slurm.state("25").base()).isEqualTo(Base.PENDING);
        assertThat(slurm.state("22_1").restartCount()).isEqualTo(1);
        assertFails(ErrorCode.ENOJOB, "no job 999", () -> slurm.state("999"));
    }

    @Test
    void theProgramForLibslurmIsAskedByNumber() throws CaesuraException {
        programs.on("/x/slurm-job-state", Fixture.slurm("job-state-requeued.txt"));
        SlurmScheduler scheduler =
                new SlurmScheduler(programs, Optional.of(Path.of("/x/slurm-job-state")), Optional.empty());
        assertThat(scheduler.state("25").base()).isEqualTo(Base.PENDING);
        assertThat(programs.calls()).containsExactly("/x/slurm-job-state 25");
        scheduler.state("22_1");
        assertThat(lastCall()).isEqualTo("/x/slurm-job-state 25");
        programs.on("/x/slurm-job-state", new Outcome(209, "", "slurm-job-state: no job 25\n"));
        assertFails(ErrorCode.ENOJOB, "no job 25", () -> scheduler.state("25"));
        programs.on("/x/slurm-job-state", new Outcome(212, "", "slurm-job-state: no answer\n"));
        assertFails(ErrorCode.ESCHEDULER, "no answer", () -> scheduler.state("25"));
    }

    @Test
    void listsWhatTheFilterAsksFor() throws CaesuraException {
        assertThat(slurm.list(JobFilter.ofNode("n2"))).isNotEmpty();
        assertThat(lastCall())
                .startsWith("squeue --noheader --all --array --Format=")
                .endsWith(" --nodelist=n2");
        slurm.list(new JobFilter(List.of("22", "27"), Optional.of("eva"), Optional.of("low"), Optional.empty()));
        assertThat(lastCall()).endsWith(" --jobs=22,27 --user=eva --partition=low");
    }

    /** squeue passes over unknown ids as long as it knows one. */
    @Test
    void aJobThatIsNotThereIsNamed() {
        assertFails(ErrorCode.ENOJOB, "job 999 ", () -> slurm.list(JobFilter.ofIds("27", "999")));
        assertFails(ErrorCode.ENOJOB, "job 7 ", () -> slurm.list(JobFilter.ofIds("7")));
    }

    @Test
    void whatIsNoIdNeverReachesSlurm() {
        for (String id : List.of("--all", "1,2", "1 2", "", "abc", "-1", "1_", "1_[x]")) {
            assertFails(ErrorCode.EINVAL, () -> slurm.requeue(id));
            assertFails(ErrorCode.EINVAL, () -> slurm.list(JobFilter.ofIds(id)));
        }
        assertThat(programs.calls()).isEmpty();
    }

    @Test
    void slurmsOwnMessageIsPassedOn() {
        programs.on("scontrol", new Outcome(1, "", "Access/permission denied for job 23\n"));
        assertFails(ErrorCode.EPERM, "Access/permission denied for job 23", () -> slurm.requeue("23"));
        programs.on("scontrol", new Outcome(1, "", "Requested operation is presently disabled for job 24\n"));
        assertFails(ErrorCode.ESCHEDULER, "presently disabled for job 24", () -> slurm.requeue("24"));
        programs.on(
                "scancel",
                new Outcome(210, "", "scancel: error: Kill job error on job id 8: Access/permission denied\n"));
        assertFails(ErrorCode.EPERM, "permission denied", () -> slurm.askCheckpoint("23"));
        programs.on("squeue", new Outcome(1, "", "slurm_load_jobs error: Invalid job id specified\n"));
        assertFails(ErrorCode.ENOJOB, () -> slurm.state("999"));
        programs.on("squeue", new Outcome(0, "", "squeue: error: Invalid user: nope\n\n"));
        assertFails(ErrorCode.EINVAL, "nope", () -> slurm.list(JobFilter.ofUser("nope")));
        programs.on("squeue", new Outcome(1, "", ""));
        assertFails(ErrorCode.ESCHEDULER, "exit status 1", () -> slurm.list(JobFilter.ALL));
    }

    @Test
    void theClusterIsThatOfTheEnvironmentElseSlurmsOwn() throws CaesuraException {
        programs.on("scontrol show config", Fixture.slurm("show-config.txt"));
        assertThat(slurm.cluster()).isEqualTo("lab");
        assertThat(new SlurmScheduler(programs, Optional.empty(), Optional.of("far")).cluster())
                .isEqualTo("far");
        assertFails(
                ErrorCode.EINVAL, () -> new SlurmScheduler(programs, Optional.empty(), Optional.of("../x")).cluster());
    }

    @Test
    void whatUsersSetForTheirEyesIsNotPassedOn() {
        Map<String, String> environment = SlurmScheduler.forSlurm(Map.of(
                "SQUEUE_STATES",
                "PENDING",
                "SCANCEL_INTERACTIVE",
                "1",
                "SLURM_TIME_FORMAT",
                "relative",
                "SLURM_CONF",
                "/c"));
        assertThat(environment).isEqualTo(Map.of("SLURM_TIME_FORMAT", "%s", "SLURM_CONF", "/c"));
    }

    @Test
    void aSlurmIsThereWithItsCommandsAndAConfiguration(@TempDir Path folder) throws IOException {
        Map<String, String> environment = Map.of("PATH", "/nowhere:" + folder, "SLURM_CONF", "/c");
        assertThat(SlurmScheduler.isConfigured(environment)).isFalse();
        Files.createFile(
                folder.resolve("scontrol"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
        assertThat(SlurmScheduler.isConfigured(environment)).isTrue();
    }
}
