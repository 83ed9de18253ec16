package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.ByteSize;
import io.caesura.model.TimeSpan;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** The keys of a policy: what each is called and what its value sets. policies/policy.schema.json says the same. */
enum PolicyKey {
    DESCRIPTION("description", (policy, values) -> single(values)),
    INTERVAL("interval", (policy, values) -> policy.interval = interval(single(values))),
    KEEP("keep", (policy, values) -> policy.keep = keep(single(values))),
    MODE("mode", (policy, values) -> choice(single(values), List.of("stop"))),
    COPY_LIMIT("copy-limit", (policy, values) -> policy.copyLimitBytes = ByteSize.parse(single(values))),
    TRACK("track", (policy, values) -> policy.track = track(values)),
    STORE_DIR("store.dir", (policy, values) -> policy.storeFolder = Optional.of(absolute(single(values)))),
    ON_EXIT("on-exit", (policy, values) -> policy.onExit = onExit(single(values))),
    SYNC("sync", (policy, values) -> policy.sync = choice(single(values), List.of("true", "false")) == 0);

    /** A policy that is being put together. */
    static final class Draft {
        Optional<Duration> interval;
        int keep;
        long copyLimitBytes;
        List<String> track;
        Optional<String> storeFolder;
        OnExit onExit;
        boolean sync;

        Draft(Policy base) {
            interval = base.interval();
            keep = base.keep();
            copyLimitBytes = base.copyLimitBytes();
            track = base.track();
            storeFolder = base.storeFolder();
            onExit = base.onExit();
            sync = base.sync();
        }

        Policy build() {
            return new Policy(interval, keep, copyLimitBytes, track, storeFolder, onExit, sync);
        }
    }

    private interface Setter {
        void set(Draft policy, List<String> values) throws CaesuraException;
    }

    private final String key;

    @SuppressWarnings("ImmutableEnumChecker") // the setters above keep nothing
    private final Setter setter;

    PolicyKey(String key, Setter setter) {
        this.key = key;
        this.setter = setter;
    }

    /** As written, with a dot for what stands inside of another key. */
    String key() {
        return key;
    }

    /** @throws CaesuraException EPOLICY or EINVAL if the value is not one for this key */
    void set(Draft policy, List<String> values) throws CaesuraException {
        setter.set(policy, values);
    }

    static Optional<PolicyKey> of(String key) {
        return Arrays.stream(values()).filter(k -> k.key.equals(key)).findFirst();
    }

    static String all() {
        return Arrays.stream(values()).map(PolicyKey::key).collect(Collectors.joining(", "));
    }

    private static Optional<Duration> interval(String value) throws CaesuraException {
        if (value.equals("off")) {
            return Optional.empty();
        }
        Duration interval = TimeSpan.parse(value);
        if (interval.isZero()) {
            throw invalid("an interval of 0", "write 'off' for no timed checkpoints");
        }
        return Optional.of(interval);
    }

    private static int keep(String value) throws CaesuraException {
        if (!value.matches("[1-9]\\d{0,5}")) {
            throw invalid("not a number of contexts: '" + value + "'", "write a number from 1");
        }
        return Integer.parseInt(value);
    }

    private static List<String> track(List<String> values) throws CaesuraException {
        for (String value : values) {
            if (!value.equals(Policy.JOB_FOLDER)) {
                absolute(value);
            }
        }
        return values;
    }

    private static OnExit onExit(String value) throws CaesuraException {
        return List.of(OnExit.values())
                .get(choice(
                        value, Arrays.stream(OnExit.values()).map(OnExit::key).toList()));
    }

    private static String absolute(String value) throws CaesuraException {
        if (!value.startsWith("/")) {
            throw invalid("not an absolute path: '" + value + "'", "write one that starts with /");
        }
        return value;
    }

    private static int choice(String value, List<String> choices) throws CaesuraException {
        int index = choices.indexOf(value);
        if (index < 0) {
            throw invalid("not a choice: '" + value + "'", "write " + String.join(" or ", choices));
        }
        return index;
    }

    private static String single(List<String> values) throws CaesuraException {
        if (values.size() != 1) {
            throw invalid("one value is needed, not " + values.size(), "write one value");
        }
        return values.get(0);
    }

    private static CaesuraException invalid(String message, String remedy) {
        return new CaesuraException(ErrorCode.EPOLICY, message, remedy);
    }
}
