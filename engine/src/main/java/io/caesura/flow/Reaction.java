package io.caesura.flow;

import io.caesura.policy.AfterLimit;
import io.caesura.policy.Policy;
import io.caesura.scheduler.JobState;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * What to do about something that happened to a batch job: the signal alone says little, so it is read together with what
 * the scheduler says of the job at that moment, and with the policy.
 *
 * @param then what the scheduler is told once the context is safe; only with LEAVE
 * @param reason in the field's words, for manifests and messages
 */
public record Reaction(Action action, Then then, String reason) {

    /** Linux numbers; the same on every architecture that Caesura runs on. */
    public static final int SIGTERM = 15;

    public static final int SIGURG = 23;

    /** Stands for the moment that was asked for, before the time limit. */
    public static final int WAKE = 0;

    /** Schedulers send their warning up to so much earlier than they were asked to. */
    private static final Duration EARLY = Duration.ofSeconds(60);

    /** What becomes of the run. */
    public enum Action {
        /** The job does not hear of it. */
        NOTHING,
        /** The job gets the signal, as it would without us. */
        FORWARD,
        /** A checkpoint; the job goes on. */
        SAVE,
        /** A checkpoint; then the job gets the signal. */
        SAVE_AND_FORWARD,
        /** A checkpoint that ends this run. */
        LEAVE,
        /** The job gets the signal, and its contexts are dropped if the policy does not keep them. */
        CANCEL
    }

    /** What the scheduler is told when a run is left. */
    public enum Then {
        NOTHING,
        REQUEUE,
        HOLD
    }

    /**
     * Decides.
     *
     * @param signal what came; WAKE for the time before the limit
     * @param restarts restart count of the run that asks
     */
    public static Reaction to(int signal, JobState state, int restarts, Policy policy, Instant now) {
        if (signal == SIGURG) {
            if (isOver(state, restarts)) {
                return only(Action.NOTHING, "request");
            }
            return state.held() ? leave(Then.HOLD, "hold") : only(Action.SAVE, "request");
        }
        boolean isWarning = policy.signal().isPresent() && policy.signal().get() == signal;
        if (signal != WAKE && signal != SIGTERM && !isWarning) {
            return only(Action.FORWARD, "signal");
        }
        if (state.base() == JobState.Base.PENDING || state.restartCount() > restarts) {
            return requeued(state, policy);
        }
        return switch (state.base()) {
            case RUNNING, SUSPENDED -> running(signal, isWarning, state, policy, now);
            case TIMEOUT ->
                policy.limitWarning().isPresent()
                        ? leave(afterLimit(policy), "time limit")
                        : only(Action.FORWARD, "time limit");
            case PREEMPTED ->
                policy.checkpointOnPreemption()
                        ? leave(Then.NOTHING, "preemption")
                        : only(Action.FORWARD, "preemption");
            case CANCELLED ->
                policy.checkpointOnCancel() ? leave(Then.NOTHING, "cancel") : only(Action.CANCEL, "cancel");
            default -> only(Action.FORWARD, "end");
        };
    }

    /** For a signal about which the scheduler could not be asked. */
    public static Reaction blind(int signal, Policy policy) {
        if (signal == SIGTERM) {
            // It may be meant for the job alone, so it has to get it; if it is the end, there is a context.
            return only(Action.SAVE_AND_FORWARD, "signal");
        }
        boolean isWarning = policy.signal().isPresent() && policy.signal().get() == signal;
        return only(isWarning || signal == SIGURG || signal == WAKE ? Action.SAVE : Action.FORWARD, "signal");
    }

    /** The scheduler has queued the job again already, and will kill what is left of this run. */
    private static Reaction requeued(JobState state, Policy policy) {
        boolean isPreemption = state.preempted().isPresent();
        boolean isWanted = isPreemption ? policy.checkpointOnPreemption() : policy.checkpointOnRequeue();
        String reason = isPreemption ? "preemption" : "requeue";
        return isWanted ? leave(Then.NOTHING, reason) : only(Action.FORWARD, reason);
    }

    private static Reaction running(int signal, boolean isWarning, JobState state, Policy policy, Instant now) {
        if (state.preempted().isPresent()) {
            if (!policy.checkpointOnPreemption()) {
                return only(signal == WAKE ? Action.NOTHING : Action.FORWARD, "preemption");
            }
            // Where the scheduler will not start it again by itself, the rest of the grace is the job's.
            return state.requeueable() ? leave(Then.REQUEUE, "preemption") : only(Action.SAVE, "preemption");
        }
        if (isLimitNear(signal, state, policy, now)) {
            return policy.afterLimit() == AfterLimit.KEEP
                    ? only(Action.SAVE, "time limit")
                    : leave(afterLimit(policy), "time limit");
        }
        if (signal == WAKE) {
            return only(Action.NOTHING, "time limit");
        }
        if (!isWarning) {
            return only(Action.FORWARD, "signal");
        }
        return switch (policy.afterSignal()) {
            case CONTINUE -> only(Action.SAVE, "signal");
            case REQUEUE -> leave(Then.REQUEUE, "signal");
            case HOLD -> leave(Then.HOLD, "signal");
        };
    }

    private static boolean isLimitNear(int signal, JobState state, Policy policy, Instant now) {
        Optional<Duration> warning = warning(state, policy);
        if (warning.isEmpty() || state.limit().isEmpty()) {
            return false;
        }
        Duration slack = signal == WAKE ? Duration.ofSeconds(1) : shorter(EARLY, warning.get());
        return !now.isBefore(state.limit().get().minus(warning.get()).minus(slack));
    }

    /** Not more than half of the run: a job whose limit is shorter than the warning would else never get anywhere. */
    private static Optional<Duration> warning(JobState state, Policy policy) {
        if (state.started().isEmpty() || state.limit().isEmpty()) {
            return policy.limitWarning();
        }
        Duration half =
                Duration.between(state.started().get(), state.limit().get()).dividedBy(2);
        return policy.limitWarning().map(wanted -> shorter(wanted, half));
    }

    private static Duration shorter(Duration one, Duration other) {
        return one.compareTo(other) < 0 ? one : other;
    }

    private static boolean isOver(JobState state, int restarts) {
        boolean runs = state.base() == JobState.Base.RUNNING || state.base() == JobState.Base.SUSPENDED;
        return !runs || state.restartCount() > restarts;
    }

    private static Then afterLimit(Policy policy) {
        return switch (policy.afterLimit()) {
            case REQUEUE -> Then.REQUEUE;
            case HOLD -> Then.HOLD;
            case KEEP -> Then.NOTHING;
        };
    }

    private static Reaction leave(Then then, String reason) {
        return new Reaction(Action.LEAVE, then, reason);
    }

    private static Reaction only(Action action, String reason) {
        return new Reaction(action, Then.NOTHING, reason);
    }

    /** When the policy wants to act on the job's time limit, counted from now; never less than nothing. */
    public static Optional<Duration> untilLimit(JobState state, Policy policy, Instant now) {
        Optional<Duration> warning = warning(state, policy);
        if (warning.isEmpty() || state.limit().isEmpty()) {
            return Optional.empty();
        }
        Duration left = Duration.between(now, state.limit().get().minus(warning.get()));
        return Optional.of(left.isNegative() ? Duration.ZERO : left);
    }
}
