package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.TimeSpan;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** How the values of policies and of the site's limits are written: reading and writing them. */
final class Values {

    static final String OFF = "off";

    private static final List<String> REACTIONS = List.of("checkpoint", "ignore");
    private static final List<String> LATER_MODES = List.of("snapshot", "incremental", "auto");
    private static final Map<Integer, String> SIGNALS = Map.of(Policy.SIGUSR1, "USR1", Policy.SIGUSR2, "USR2");

    private Values() {}

    static String single(List<String> values) throws CaesuraException {
        if (values.size() != 1) {
            throw invalid("one value is needed, not " + values.size(), "write one value");
        }
        return values.get(0);
    }

    /** A span above 0; empty for `off`. */
    static Optional<Duration> span(String value) throws CaesuraException {
        return value.equals(OFF) ? Optional.empty() : Optional.of(someTime(value, "write 'off' for none"));
    }

    /** A span above 0. */
    static Duration someTime(String value, String remedy) throws CaesuraException {
        Duration span = TimeSpan.parse(value);
        if (span.isZero()) {
            throw invalid("a time of 0", remedy);
        }
        return span;
    }

    static String format(Optional<Duration> span) {
        return span.map(TimeSpan::format).orElse(OFF);
    }

    /** A number of contexts. */
    static int count(String value) throws CaesuraException {
        if (!value.matches("[1-9]\\d{0,5}")) {
            throw invalid("not a number of contexts: '" + value + "'", "write a number from 1");
        }
        return Integer.parseInt(value);
    }

    static void mode(String value) throws CaesuraException {
        if (LATER_MODES.contains(value)) {
            throw invalid("'" + value + "' is not there yet", "write stop, or leave it out");
        }
        choice(value, List.of("stop"));
    }

    static List<String> tracked(List<String> values) throws CaesuraException {
        List<String> tracked = new ArrayList<>();
        for (String value : values) {
            tracked.add(value.equals(Policy.JOB_FOLDER) ? value : absolute(value));
        }
        return tracked;
    }

    /** The number of a signal by its name; empty for `off`. */
    static Optional<Integer> signal(String value) throws CaesuraException {
        String name = value.startsWith("SIG") ? value.substring("SIG".length()) : value;
        Optional<Integer> number = SIGNALS.entrySet().stream()
                .filter(signal -> signal.getValue().equals(name))
                .map(Map.Entry::getKey)
                .findFirst();
        if (number.isEmpty() && !value.equals(OFF)) {
            throw invalid("not a signal that can be had: '" + value + "'", "write USR1, USR2 or off");
        }
        return number;
    }

    static String signalName(Optional<Integer> number) {
        return number.map(SIGNALS::get).orElse(OFF);
    }

    static boolean checkpoints(String value) throws CaesuraException {
        return choice(value, REACTIONS) == 0;
    }

    static String reaction(boolean checkpoints) {
        return REACTIONS.get(checkpoints ? 0 : 1);
    }

    /** Whether it is the first of two words. */
    static boolean yes(String value, String yes, String no) throws CaesuraException {
        return choice(value, List.of(yes, no)) == 0;
    }

    static <E extends Enum<E>> E choice(String value, Class<E> type) throws CaesuraException {
        E[] constants = type.getEnumConstants();
        return constants[choice(value, Stream.of(constants).map(Values::word).toList())];
    }

    /** A constant as it is written in a policy. */
    static String word(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** An absolute path, less what is superfluous in how it is written. */
    static String absolute(String value) throws CaesuraException {
        if (!value.startsWith("/")) {
            throw invalid("not an absolute path: '" + value + "'", "write one that starts with /");
        }
        try {
            return Path.of(value).toString();
        } catch (InvalidPathException e) {
            throw invalid("not a path here: '" + value + "'", "use characters of the locale only");
        }
    }

    static CaesuraException invalid(String message, String remedy) {
        return new CaesuraException(ErrorCode.EPOLICY, message, remedy);
    }

    private static int choice(String value, List<String> choices) throws CaesuraException {
        int index = choices.indexOf(value);
        if (index < 0) {
            throw invalid("not a choice: '" + value + "'", "write " + String.join(" or ", choices));
        }
        return index;
    }
}
