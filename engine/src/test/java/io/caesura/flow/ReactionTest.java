package io.caesura.flow;

import static io.caesura.flow.Reaction.SIGTERM;
import static io.caesura.flow.Reaction.SIGURG;
import static io.caesura.flow.Reaction.WAKE;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.scheduler.JobState;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The table of facts about Slurm's endings, row by row. */
class ReactionTest {

    private static final int USR1 = 10;
    private static final int USR2 = 12;
    private static final Instant NOW = Instant.parse("2026-01-01T12:00:00Z");

    private static Policy policy(String spec) throws CaesuraException {
        return new Policies(List.of()).resolve(spec);
    }

    private static JobState state(String base, int restarts, boolean preempted, String limit) {
        return new JobState(
                JobState.Base.valueOf(base),
                restarts,
                preempted ? Optional.of(NOW) : Optional.empty(),
                limit.equals("-") ? Optional.empty() : Optional.of(NOW.plus(Duration.ofSeconds(Long.parseLong(limit)))),
                true);
    }

    private static Reaction react(String spec, int signal, JobState state) throws CaesuraException {
        return Reaction.to(signal, state, 0, policy(spec), NOW);
    }

    @ParameterizedTest
    @CsvSource({
        // what Slurm says, and what TERM then comes to under the built-in policy
        "PENDING,   1, true,  -,   LEAVE,   NOTHING, preemption",
        "PENDING,   1, false, -,   LEAVE,   NOTHING, requeue",
        "PENDING,   0, false, -,   LEAVE,   NOTHING, requeue",
        "RUNNING,   1, false, -,   LEAVE,   NOTHING, requeue",
        "PREEMPTED, 0, true,  -,   LEAVE,   NOTHING, preemption",
        "TIMEOUT,   0, false, 0,   LEAVE,   REQUEUE, time limit",
        "CANCELLED, 0, false, -,   CANCEL,  NOTHING, cancel",
        "FAILED,    0, false, -,   FORWARD, NOTHING, end",
        "NODE_FAIL, 0, false, -,   FORWARD, NOTHING, end",
        "RUNNING,   0, true,  -,   LEAVE,   REQUEUE, preemption",
        "RUNNING,   0, false, 900, FORWARD, NOTHING, signal",
        "RUNNING,   0, false, 60,  LEAVE,   REQUEUE, time limit",
    })
    void term(String base, int restarts, boolean preempted, String limit, String action, String then, String reason)
            throws CaesuraException {
        Reaction reaction = react("default", SIGTERM, state(base, restarts, preempted, limit));
        assertThat(reaction)
                .isEqualTo(new Reaction(Reaction.Action.valueOf(action), Reaction.Then.valueOf(then), reason));
    }

    @ParameterizedTest
    @CsvSource({
        "preemption=ignore,      PENDING,   1, true,  FORWARD",
        "requeue=ignore,         PENDING,   1, false, FORWARD",
        "requeue=ignore,         PENDING,   1, true,  LEAVE",
        "preemption=ignore,      PREEMPTED, 0, true,  FORWARD",
        "preemption=ignore,      RUNNING,   0, true,  FORWARD",
        "cancel=checkpoint,      CANCELLED, 0, false, LEAVE",
        "time-limit.before=off,  TIMEOUT,   0, false, FORWARD",
    })
    void thePolicyCanIgnore(String spec, String base, int restarts, boolean preempted, String action)
            throws CaesuraException {
        assertThat(react(spec, SIGTERM, state(base, restarts, preempted, "-")).action())
                .isEqualTo(Reaction.Action.valueOf(action));
    }

    @ParameterizedTest
    @CsvSource({
        "default,                 true,  900, LEAVE, REQUEUE, preemption",
        "default,                 false, 900, SAVE,  NOTHING, signal",
        "default,                 false, -,   SAVE,  NOTHING, signal",
        "default,                 false, 170, LEAVE, REQUEUE, time limit",
        "default,                 false, 181, SAVE,  NOTHING, signal",
        "time-limit.then=hold,    false, 120, LEAVE, HOLD,    time limit",
        "time-limit.then=keep,    false, 120, SAVE,  NOTHING, time limit",
        "signal-then=requeue,     false, 900, LEAVE, REQUEUE, signal",
        "signal-then=hold,        false, 900, LEAVE, HOLD,    signal",
    })
    void theWarningSignal(String spec, boolean preempted, String limit, String action, String then, String reason)
            throws CaesuraException {
        assertThat(react(spec, USR2, state("RUNNING", 0, preempted, limit)))
                .isEqualTo(new Reaction(Reaction.Action.valueOf(action), Reaction.Then.valueOf(then), reason));
    }

    @Test
    void otherSignalsAreTheJobs() throws CaesuraException {
        JobState running = state("RUNNING", 0, false, "-");
        assertThat(react("default", USR1, running).action()).isEqualTo(Reaction.Action.FORWARD);
        assertThat(react("signal=off", USR2, running).action()).isEqualTo(Reaction.Action.FORWARD);
        assertThat(react("signal=USR1", USR1, running).action()).isEqualTo(Reaction.Action.SAVE);
    }

    @Test
    void aRequestIsForARunningJob() throws CaesuraException {
        assertThat(react("default", SIGURG, state("RUNNING", 0, false, "-")).action())
                .isEqualTo(Reaction.Action.SAVE);
        assertThat(react("default", SIGURG, state("PENDING", 1, false, "-")).action())
                .isEqualTo(Reaction.Action.NOTHING);
    }

    /** PBS lets a job run on that is held; a request then means that it is to leave. */
    @Test
    void aRequestToAHeldJobEndsItsRun() throws CaesuraException {
        JobState held = state("RUNNING", 0, false, "-").asHeld();
        assertThat(react("default", SIGURG, held))
                .isEqualTo(new Reaction(Reaction.Action.LEAVE, Reaction.Then.HOLD, "hold"));
        assertThat(react("default", SIGTERM, held).action()).isEqualTo(Reaction.Action.FORWARD);
        assertThat(react("default", SIGURG, state("PENDING", 0, false, "-").asHeld())
                        .action())
                .isEqualTo(Reaction.Action.NOTHING);
    }

    @Test
    void whatCannotBeRequeuedKeepsItsGrace() throws CaesuraException {
        JobState preempted = new JobState(JobState.Base.RUNNING, 0, Optional.of(NOW), Optional.empty(), false);
        assertThat(react("default", USR2, preempted).action()).isEqualTo(Reaction.Action.SAVE);
    }

    @Test
    void theTimeBeforeTheLimit() throws CaesuraException {
        assertThat(react("default", WAKE, state("RUNNING", 0, false, "120")).action())
                .isEqualTo(Reaction.Action.LEAVE);
        JobState extended = state("RUNNING", 0, false, "3600");
        assertThat(react("default", WAKE, extended).action()).isEqualTo(Reaction.Action.NOTHING);
        assertThat(Reaction.untilLimit(extended, policy("default"), NOW)).contains(Duration.ofMinutes(58));
        assertThat(Reaction.untilLimit(extended, policy("time-limit.before=off"), NOW))
                .isEmpty();
        assertThat(Reaction.untilLimit(state("RUNNING", 0, false, "5"), policy("default"), NOW))
                .contains(Duration.ZERO);
    }

    @Test
    void aLimitShorterThanTheWarning() throws CaesuraException {
        Instant limit = NOW.plusSeconds(40);
        JobState young = new JobState(
                JobState.Base.RUNNING,
                0,
                Optional.empty(),
                Optional.of(limit.minusSeconds(60)),
                Optional.of(limit),
                true);
        assertThat(react("default", WAKE, young).action()).isEqualTo(Reaction.Action.NOTHING);
        assertThat(Reaction.untilLimit(young, policy("default"), NOW)).contains(Duration.ofSeconds(10));
        assertThat(Reaction.to(WAKE, young, 0, policy("default"), NOW.plusSeconds(10)))
                .isEqualTo(new Reaction(Reaction.Action.LEAVE, Reaction.Then.REQUEUE, "time limit"));
    }

    @Test
    void aSchedulerThatDoesNotAnswer() throws CaesuraException {
        Policy policy = policy("default");
        assertThat(Reaction.blind(SIGTERM, policy).action()).isEqualTo(Reaction.Action.SAVE_AND_FORWARD);
        assertThat(Reaction.blind(USR2, policy).action()).isEqualTo(Reaction.Action.SAVE);
        assertThat(Reaction.blind(USR1, policy).action()).isEqualTo(Reaction.Action.FORWARD);
        assertThat(Reaction.blind(SIGURG, policy).action()).isEqualTo(Reaction.Action.SAVE);
    }
}
