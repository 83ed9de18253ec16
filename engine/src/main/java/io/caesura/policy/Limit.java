package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.model.ByteSize;
import io.caesura.model.TimeSpan;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * A limit that the site sets and no policy may exceed.
 *
 * @param where file and line that set it
 */
record Limit(Kind kind, Check check, String where) {

    /** What is wrong with a policy. */
    record Breach(PolicyKey key, String message, String remedy) {}

    interface Check {
        Optional<Breach> breach(Policy policy, Owner owner) throws CaesuraException;
    }

    private interface Reader {
        Check read(List<String> values) throws CaesuraException;
    }

    /** The limits there are. policies/site.schema.json says the same. */
    enum Kind {
        INTERVAL_MIN("interval-min", Kind::intervalMin),
        KEEP_MAX("keep-max", Kind::keepMax),
        COPY_LIMIT_MAX("copy-limit-max", Kind::copyLimitMax),
        TIME_LIMIT_BEFORE_MAX("time-limit-before-max", Kind::warningMax),
        STORES("stores", Kind::stores);

        private final String key;

        @SuppressWarnings("ImmutableEnumChecker") // method references only
        private final Reader reader;

        Kind(String key, Reader reader) {
            this.key = key;
            this.reader = reader;
        }

        String key() {
            return key;
        }

        static Optional<Kind> of(String key) {
            return Arrays.stream(values()).filter(kind -> kind.key.equals(key)).findFirst();
        }

        static String all() {
            return Arrays.stream(values()).map(Kind::key).collect(Collectors.joining(", "));
        }

        /** @throws CaesuraException EPOLICY or EINVAL if the values are none for this limit */
        Limit read(List<String> values, String where) throws CaesuraException {
            return new Limit(this, reader.read(values), where);
        }

        private static Check intervalMin(List<String> values) throws CaesuraException {
            Duration min = time(values);
            return (policy, owner) -> policy.interval()
                    .filter(interval -> interval.compareTo(min) < 0)
                    .map(interval -> new Breach(
                            PolicyKey.INTERVAL,
                            TimeSpan.format(interval) + " is shorter than " + TimeSpan.format(min),
                            "choose " + TimeSpan.format(min) + " or more, or off"));
        }

        private static Check keepMax(List<String> values) throws CaesuraException {
            int max = Values.count(Values.single(values));
            return (policy, owner) -> policy.keep() <= max
                    ? Optional.empty()
                    : Optional.of(new Breach(
                            PolicyKey.KEEP, policy.keep() + " is more than " + max, "choose " + max + " or less"));
        }

        private static Check copyLimitMax(List<String> values) throws CaesuraException {
            String text = Values.single(values);
            long max = ByteSize.parse(text);
            return (policy, owner) -> policy.copyLimitBytes() <= max
                    ? Optional.empty()
                    : Optional.of(new Breach(
                            PolicyKey.COPY_LIMIT,
                            ByteSize.format(policy.copyLimitBytes()) + " is more than " + text,
                            "choose " + text + " or less"));
        }

        private static Check warningMax(List<String> values) throws CaesuraException {
            Duration max = time(values);
            return (policy, owner) -> policy.limitWarning()
                    .filter(before -> before.compareTo(max) > 0)
                    .map(before -> new Breach(
                            PolicyKey.TIME_LIMIT_BEFORE,
                            TimeSpan.format(before) + " is more than " + TimeSpan.format(max),
                            "choose " + TimeSpan.format(max) + " or less, or off"));
        }

        private static Check stores(List<String> values) throws CaesuraException {
            if (values.isEmpty()) {
                throw Values.invalid("no folder is named", "name one, or leave the limit out");
            }
            for (String value : values) {
                StoreFolder.check(value);
            }
            return (policy, owner) -> {
                String folder = StoreFolder.expand(policy.storeFolder().orElse(StoreFolder.DEFAULT), owner);
                List<String> allowed = new ArrayList<>();
                for (String value : values) {
                    allowed.add(StoreFolder.expand(value, owner));
                }
                return allowed.stream().anyMatch(top -> StoreFolder.isBelow(folder, top))
                        ? Optional.empty()
                        : Optional.of(new Breach(
                                PolicyKey.STORE_DIR,
                                folder + " is in none of " + String.join(", ", allowed),
                                "choose one of them, or a folder below"));
            };
        }

        private static Duration time(List<String> values) throws CaesuraException {
            return Values.someTime(Values.single(values), "leave the limit out if there is none");
        }
    }
}
