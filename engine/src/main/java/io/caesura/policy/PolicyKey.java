package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.model.ByteSize;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The keys of a policy: what each is called, what its value sets, and how that is written. policies/policy.schema.json says
 * the same.
 */
enum PolicyKey {
    DESCRIPTION("description", one((draft, value) -> draft.description = value), policy -> null),
    INTERVAL(
            "interval",
            one((draft, value) -> draft.interval = Values.span(value)),
            policy -> Values.format(policy.interval())),
    KEEP("keep", one((draft, value) -> draft.keep = Values.count(value)), Policy::keep),
    MODE("mode", one((draft, value) -> Values.mode(value)), policy -> "stop"),
    COPY_LIMIT(
            "copy-limit", one((draft, value) -> draft.copyLimitBytes = ByteSize.parse(value)), Policy::copyLimitBytes),
    TRACK("track", (draft, values) -> draft.track = Values.tracked(values), Policy::track),
    STORE_DIR(
            "store.dir",
            one((draft, value) -> draft.storeFolder = Optional.of(StoreFolder.check(value))),
            policy -> policy.storeFolder()
                    .map(folder -> folder.replace("%", "%%"))
                    .orElse(null)),
    ON_EXIT(
            "on-exit",
            one((draft, value) -> draft.onExit = Values.choice(value, OnExit.class)),
            policy -> Values.word(policy.onExit())),
    SYNC("sync", one((draft, value) -> draft.sync = Values.yes(value, "true", "false")), Policy::sync),
    DEADLINE(
            "deadline",
            one((draft, value) -> draft.deadline = Values.span(value)),
            policy -> Values.format(policy.deadline())),
    PREEMPTION(
            "preemption",
            one((draft, value) -> draft.checkpointOnPreemption = Values.checkpoints(value)),
            policy -> Values.reaction(policy.checkpointOnPreemption())),
    REQUEUE(
            "requeue",
            one((draft, value) -> draft.checkpointOnRequeue = Values.checkpoints(value)),
            policy -> Values.reaction(policy.checkpointOnRequeue())),
    TIME_LIMIT_BEFORE(
            "time-limit.before",
            one((draft, value) -> draft.limitWarning = Values.span(value)),
            policy -> Values.format(policy.limitWarning())),
    TIME_LIMIT_THEN(
            "time-limit.then",
            one((draft, value) -> draft.afterLimit = Values.choice(value, AfterLimit.class)),
            policy -> Values.word(policy.afterLimit())),
    SIGNAL(
            "signal",
            one((draft, value) -> draft.signal = Values.signal(value)),
            policy -> Values.signalName(policy.signal())),
    SIGNAL_THEN(
            "signal-then",
            one((draft, value) -> draft.afterSignal = Values.choice(value, AfterSignal.class)),
            policy -> Values.word(policy.afterSignal())),
    CANCEL(
            "cancel",
            one((draft, value) -> draft.checkpointOnCancel = Values.checkpoints(value)),
            policy -> Values.reaction(policy.checkpointOnCancel())),
    ON_CANCEL(
            "on-cancel",
            one((draft, value) -> draft.keepOnCancel = Values.yes(value, "keep", "delete")),
            policy -> policy.keepOnCancel() ? "keep" : "delete"),
    REQUEUE_NOW(
            "requeue-now",
            one((draft, value) -> draft.requeueNow = Values.yes(value, "true", "false")),
            Policy::requeueNow),
    ON_RESTART_FAILURE(
            "on-restart-failure",
            one((draft, value) -> draft.onRestartFailure = Values.choice(value, OnRestartFailure.class)),
            policy -> Values.word(policy.onRestartFailure()));

    private interface Setter {
        void set(PolicyDraft draft, List<String> values) throws CaesuraException;
    }

    private interface SingleSetter {
        void set(PolicyDraft draft, String value) throws CaesuraException;
    }

    private interface Getter {
        @Nullable
        Object of(Policy policy);
    }

    private final String key;

    @SuppressWarnings("ImmutableEnumChecker") // the setters above keep nothing
    private final Setter setter;

    @SuppressWarnings("ImmutableEnumChecker") // nor do the getters
    private final Getter getter;

    PolicyKey(String key, Setter setter, Getter getter) {
        this.key = key;
        this.setter = setter;
        this.getter = getter;
    }

    private static Setter one(SingleSetter setter) {
        return (draft, values) -> setter.set(draft, Values.single(values));
    }

    /** As written in a SPEC, with a dot for what stands inside of another key. */
    String key() {
        return key;
    }

    /** @throws CaesuraException EPOLICY or EINVAL if the value is not one for this key */
    void set(PolicyDraft draft, List<String> values) throws CaesuraException {
        setter.set(draft, values);
    }

    /** What a policy file would say; empty for what a policy does not keep, or has not set. */
    Optional<Object> value(Policy policy) {
        return Optional.ofNullable(getter.of(policy));
    }

    static Optional<PolicyKey> of(String key) {
        return Arrays.stream(values()).filter(k -> k.key.equals(key)).findFirst();
    }

    static String all() {
        return Arrays.stream(values()).map(PolicyKey::key).collect(Collectors.joining(", "));
    }
}
