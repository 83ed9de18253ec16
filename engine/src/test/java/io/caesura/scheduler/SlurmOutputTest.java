package io.caesura.scheduler;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.scheduler.JobState.Base;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class SlurmOutputTest {

    private static ListedJob job(String fixture, String id) throws CaesuraException {
        return SlurmOutput.jobs(Fixture.slurm(fixture)).stream()
                .filter(job -> job.id().equals(id))
                .findFirst()
                .orElseThrow();
    }

    @Test
    void readsEveryJobOfTheQueue() throws CaesuraException {
        List<ListedJob> jobs = SlurmOutput.jobs(Fixture.slurm("squeue.txt"));
        assertThat(jobs)
                .extracting(ListedJob::id)
                .containsExactly("22_3", "22_4", "22_5", "22_6", "27", "22_1", "22_2", "23", "24");
        assertThat(job("squeue.txt", "24"))
                .isEqualTo(new ListedJob(
                        "24",
                        "24",
                        "root",
                        0,
                        "low",
                        "RUNNING",
                        "n2",
                        Optional.of(Instant.ofEpochSecond(1795341692)),
                        Optional.of(Instant.ofEpochSecond(1795341692)),
                        new JobState(
                                Base.RUNNING,
                                0,
                                Optional.empty(),
                                Optional.of(Instant.ofEpochSecond(1795341692)),
                                Optional.of(Instant.ofEpochSecond(1795342292)),
                                false)));
    }

    @Test
    void aTaskOfAnArrayHasItsOwnFolder() throws CaesuraException {
        assertThat(job("squeue.txt", "22_2").folder()).isEqualTo("26");
        assertThat(job("squeue.txt", "22_2").isRunning()).isTrue();
        assertThat(job("squeue.txt", "22_5").folder()).isEqualTo("22");
    }

    /** The job's name was "x|RUNNING|y": no text of the user is asked for. */
    @Test
    void aJobsNameCannotPassForItsFields() throws CaesuraException {
        assertThat(job("squeue.txt", "23").user()).isEqualTo("nobody");
        assertThat(job("squeue.txt", "23").userId()).isEqualTo(65534);
    }

    @Test
    void theExpectedEndOfAWaitingJobIsNoLimit() throws CaesuraException {
        assertThat(job("squeue.txt", "27").state())
                .isEqualTo(new JobState(Base.PENDING, 0, Optional.empty(), Optional.empty(), true));
    }

    @Test
    void aRequeuedJobIsPendingBeforeItsProcessesHaveEnded() throws CaesuraException {
        assertThat(job("squeue-completing.txt", "22_1").word()).isEqualTo("COMPLETING");
        assertThat(job("squeue-completing.txt", "22_1").state())
                .isEqualTo(new JobState(Base.PENDING, 1, Optional.empty(), Optional.empty(), true));
    }

    @Test
    void aCancelledJobThatStillEndsIsFinal() throws CaesuraException {
        assertThat(job("squeue-completing.txt", "24").state().base()).isEqualTo(Base.OTHER);
        assertThat(job("squeue-completing.txt", "18").state().base()).isEqualTo(Base.CANCELLED);
    }

    @Test
    void preemptionIsSeenInTheGraceAndAfterIt() throws CaesuraException {
        List<JobState> states = SlurmOutput.jobs(Fixture.slurm("squeue-preempted.txt")).stream()
                .map(ListedJob::state)
                .toList();
        Optional<Instant> preempted = Optional.of(Instant.ofEpochSecond(1795341712));
        Optional<Instant> started = Optional.of(Instant.ofEpochSecond(1795341710));
        Optional<Instant> end = Optional.of(Instant.ofEpochSecond(1795341720));
        assertThat(states.get(0)).isEqualTo(new JobState(Base.RUNNING, 0, preempted, started, Optional.empty(), true));
        assertThat(states.get(1)).isEqualTo(new JobState(Base.RUNNING, 0, preempted, started, end, true));
        assertThat(states.get(2))
                .isEqualTo(new JobState(
                        Base.PENDING, 1, Optional.of(Instant.ofEpochSecond(1795341721)), Optional.empty(), true));
    }

    @Test
    void readsTheProgramThatAsksLibslurm() throws CaesuraException {
        assertThat(SlurmOutput.state(Fixture.slurm("job-state-requeued.txt")))
                .isEqualTo(new JobState(Base.PENDING, 1, Optional.empty(), Optional.empty(), true));
        assertThat(SlurmOutput.state(Fixture.slurm("job-state-grace.txt")))
                .isEqualTo(new JobState(
                        Base.RUNNING,
                        0,
                        Optional.of(Instant.ofEpochSecond(1795341712)),
                        Optional.of(Instant.ofEpochSecond(1795341710)),
                        Optional.of(Instant.ofEpochSecond(1795341720)),
                        true));
    }

    @Test
    void whatPreemptionDoesToAPartitionsJobs() throws CaesuraException {
        assertThat(SlurmOutput.partition(Fixture.slurm("job-state-grace.txt"))).isEqualTo("low");
        assertThat(SlurmOutput.requeuesPreempted("PartitionName=low PreemptMode=REQUEUE State=UP"))
                .isTrue();
        assertThat(SlurmOutput.requeuesPreempted("PartitionName=low PreemptMode=GANG,REQUEUE State=UP"))
                .isTrue();
        assertThat(SlurmOutput.requeuesPreempted("PartitionName=low PreemptMode=CANCEL State=UP"))
                .isFalse();
        assertThat(SlurmOutput.requeuesPreempted("PartitionName=low State=UP")).isTrue();
    }

    @Test
    void wordsOfOtherReleasesAreFinalAndFlagsAreNot() throws CaesuraException {
        String line = "1|1|u|7|p|%s|n|0|N/A|1|2|1|1|\n";
        assertThat(base(line, "OUT_OF_MEMORY")).isEqualTo(Base.OTHER);
        assertThat(base(line, "CONFIGURING")).isEqualTo(Base.RUNNING);
        assertThat(base(line, "REQUEUE_HOLD")).isEqualTo(Base.PENDING);
        assertThat(base(line, "NODE_FAIL")).isEqualTo(Base.NODE_FAIL);
    }

    private static Base base(String line, String word) throws CaesuraException {
        return SlurmOutput.jobs(line.formatted(word)).get(0).state().base();
    }

    @Test
    void whatCannotBeReadIsAnErrorAndNotAGuess() {
        assertFails(ErrorCode.ESCHEDULER, "squeue", () -> SlurmOutput.jobs("1|2|3|\n"));
        assertFails(ErrorCode.ESCHEDULER, "squeue", () -> SlurmOutput.jobs("1|1|u|7|p|RUNNING|n|many|N/A|1|2|1|1|\n"));
        assertFails(ErrorCode.ESCHEDULER, "slurm-job-state", () -> SlurmOutput.state("state=RUNNING\n"));
        assertFails(ErrorCode.ESCHEDULER, "slurm-job-state", () -> SlurmOutput.state(""));
    }

    @Test
    void findsTheClustersName() {
        assertThat(SlurmOutput.cluster(Fixture.slurm("show-config.txt"))).contains("lab");
        assertThat(SlurmOutput.cluster("ClusterName             = (null)\n")).isEmpty();
        assertThat(SlurmOutput.cluster("")).isEmpty();
    }
}
