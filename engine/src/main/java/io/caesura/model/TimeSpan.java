package io.caesura.model;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Spans of time as batch users write them: Slurm's own forms (minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS) and
 * a number with a unit (500ms, 30s, 30m, 2h, 1d).
 */
public final class TimeSpan {

    private static final Pattern WITH_UNIT = Pattern.compile("(\\d{1,9})(ms|s|m|h|d)");
    private static final Pattern CLOCK = Pattern.compile("(?:(\\d{1,9})-)?(\\d{1,9})(?::(\\d{1,9}))?(?::(\\d{1,9}))?");

    private TimeSpan() {}

    /**
     * Parses a span. A bare number means minutes, as in Slurm.
     *
     * @throws CaesuraException EINVAL if it is in none of the forms
     */
    public static Duration parse(String text) throws CaesuraException {
        Matcher unit = WITH_UNIT.matcher(text);
        if (unit.matches()) {
            long count = Long.parseLong(unit.group(1));
            return switch (unit.group(2)) {
                case "ms" -> Duration.ofMillis(count);
                case "s" -> Duration.ofSeconds(count);
                case "m" -> Duration.ofMinutes(count);
                case "h" -> Duration.ofHours(count);
                default -> Duration.ofDays(count);
            };
        }
        Matcher clock = CLOCK.matcher(text);
        if (!clock.matches()) {
            throw new CaesuraException(
                    ErrorCode.EINVAL,
                    "not a time span: '" + text + "'",
                    "write minutes, MM:SS, HH:MM:SS, D-HH:MM:SS, or a number with s, m, h or d");
        }
        long first = Long.parseLong(clock.group(2));
        long second = part(clock, 3);
        long third = part(clock, 4);
        if (clock.group(1) != null) {
            return Duration.ofDays(Long.parseLong(clock.group(1)))
                    .plusHours(first)
                    .plusMinutes(second)
                    .plusSeconds(third);
        }
        if (clock.group(4) != null) {
            return Duration.ofHours(first).plusMinutes(second).plusSeconds(third);
        }
        return Duration.ofMinutes(first).plusSeconds(second);
    }

    /** The span in the largest unit that divides it, in a form that {@link #parse} reads. */
    public static String format(Duration span) {
        long millis = span.toMillis();
        if (millis % 1000 != 0) {
            return millis + "ms";
        }
        long seconds = millis / 1000;
        if (seconds % 86400 == 0 && seconds != 0) {
            return seconds / 86400 + "d";
        }
        if (seconds % 3600 == 0 && seconds != 0) {
            return seconds / 3600 + "h";
        }
        return seconds % 60 == 0 && seconds != 0 ? seconds / 60 + "m" : seconds + "s";
    }

    private static long part(Matcher matcher, int group) {
        String digits = matcher.group(group);
        return digits == null ? 0 : Long.parseLong(digits);
    }
}
