package io.caesura.scheduler;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.scheduler.JobState.Base;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What qstat said at each moment of docs/pbs.md's table. */
class PbsOutputTest {

    private static final Instant NOW = Instant.parse("2026-11-22T10:13:20Z");

    private static PbsOutput.Shown only(String text, Instant now) throws CaesuraException {
        List<PbsOutput.Shown> jobs = PbsOutput.jobs(text, now, ZoneOffset.UTC);
        assertThat(jobs).hasSize(1);
        return jobs.get(0);
    }

    @ParameterizedTest
    @CsvSource({
        "running,      RUNNING,   0, false",
        "qdel,         CANCELLED, 0, false",
        "rerun,        PENDING,   0, false",
        "rerun-ending, PENDING,   0, true",
        "subjob,       PENDING,   0, false",
        "suspended,    SUSPENDED, 0, false",
        "hold-running, RUNNING,   0, true",
        "held,         PENDING,   0, true",
        "deleted,      CANCELLED, 0, false",
        "walltime,     TIMEOUT,   0, false",
        "second-run,   RUNNING,   1, false",
    })
    void everyMoment(String name, String base, int restarts, boolean held) throws CaesuraException {
        PbsOutput.Shown shown = only(Fixture.pbs("qstat-" + name + ".json"), NOW);
        assertThat(shown.job().state().base()).isEqualTo(Base.valueOf(base));
        assertThat(shown.job().state().restartCount()).isEqualTo(restarts);
        assertThat(shown.job().state().requeueable()).isTrue();
        assertThat(shown.heldByPeople()).isEqualTo(held);
    }

    /** The scheduler holds a job while it preempts it by checkpoint; that is nobody's wish to keep it. */
    @Test
    void theSchedulersHoldIsNobodys() throws CaesuraException {
        String text = Fixture.pbs("qstat-hold-running.json").replace("\"Hold_Types\": \"u\"", "\"Hold_Types\": \"s\"");
        assertThat(only(text, NOW).heldByPeople()).isFalse();
    }

    @Test
    void aListedJob() throws CaesuraException {
        ListedJob job = only(Fixture.pbs("qstat-subjob.json"), NOW).job();
        assertThat(job.id()).isEqualTo("6[1]");
        assertThat(job.folder()).isEqualTo("6_1");
        assertThat(job.user()).isEqualTo("pbsuser");
        assertThat(job.partition()).isEqualTo("workq");
        assertThat(job.word()).isEqualTo("R 60");
        assertThat(job.nodes()).isEqualTo("n1/0");
        assertThat(job.started()).contains(Instant.parse("2026-11-22T10:14:40Z"));
    }

    @Test
    void theLimitIsStartAndWalltime() throws CaesuraException {
        String text = Fixture.pbs("qstat-running.json");
        Instant limit = Instant.parse("2026-11-22T10:14:54Z");
        assertThat(only(text, NOW).job().state().limit()).contains(limit);
        // MoM's report of the time used is old most of the time, and says nothing then.
        assertThat(only(text, NOW.plusSeconds(200)).job().state().limit()).contains(limit);
        assertThat(only(Fixture.pbs("qstat-rerun.json"), NOW).job().state().limit())
                .isEmpty();
        assertThat(only(Fixture.pbs("qstat-second-run.json"), NOW).job().state().limit())
                .isEmpty();
    }

    @Test
    void suspendedTimeIsNotCounted() throws CaesuraException {
        Instant later = NOW.plus(Duration.ofHours(2));
        String text = Fixture.pbs("qstat-running.json").replace("00:01:40", "01:00:00");
        assertThat(only(text, later).job().state().limit())
                .contains(later.plus(Duration.ofMinutes(60)).minusSeconds(1));
    }

    @Test
    void timesAreThoseOfTheZone() throws CaesuraException {
        String text = Fixture.pbs("qstat-running.json").replace("Nov 22 10:13:14", "Nov  1 10:13:14");
        assertThat(PbsOutput.jobs(text, NOW, ZoneId.of("Europe/Berlin"))
                        .get(0)
                        .job()
                        .started())
                .contains(Instant.parse("2026-11-01T09:13:14Z"));
    }

    @Test
    void noJobs() throws CaesuraException {
        assertThat(PbsOutput.jobs("{\"timestamp\": 1}", NOW, ZoneOffset.UTC)).isEmpty();
        assertThat(PbsOutput.server("{\"Server\": {\"pbslab\": {\"server_state\": \"Active\"}}}"))
                .contains("pbslab");
        assertThat(PbsOutput.server("{}")).isEqualTo(Optional.empty());
    }

    @Test
    void whatCannotBeReadIsAnError() {
        assertFails(ErrorCode.ESCHEDULER, "does not understand", () -> only("{\"Jobs\": {\"1.s\": ", NOW));
        assertFails(ErrorCode.ESCHEDULER, "without job_state", () -> only("{\"Jobs\": {\"1.s\": {}}}", NOW));
        String badTime = Fixture.pbs("qstat-running.json").replace("\"stime\": \"Sun Nov", "\"stime\": \"Son Nov");
        assertFails(ErrorCode.ESCHEDULER, "Son Nov", () -> only(badTime, NOW));
    }
}
