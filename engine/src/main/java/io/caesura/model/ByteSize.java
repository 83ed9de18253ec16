package io.caesura.model;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Sizes in bytes as people write them: 4096, 64K, 64KiB, 1.5G, 10MB. */
public final class ByteSize {

    private static final Pattern FORM = Pattern.compile("(\\d{1,18}(?:\\.\\d{1,6})?)\\s*([KMGTP]?)(I?B)?");
    private static final String UNITS = "KMGTP";

    private ByteSize() {}

    /**
     * Parses a size. K, M, G, T and P, alone or with iB, are powers of 1024, with B powers of 1000.
     *
     * @throws CaesuraException EINVAL if it is not a size or larger than a long
     */
    public static long parse(String text) throws CaesuraException {
        Matcher matcher = FORM.matcher(text.strip().toUpperCase(Locale.ROOT));
        if (!matcher.matches()) {
            throw invalid(text);
        }
        String unit = matcher.group(2);
        long base = "B".equals(matcher.group(3)) && !unit.isEmpty() ? 1000 : 1024;
        double factor = Math.pow((double) base, unit.isEmpty() ? 0 : UNITS.indexOf(unit) + 1);
        double bytes = Double.parseDouble(matcher.group(1)) * factor;
        if (bytes >= Long.MAX_VALUE) {
            throw invalid(text);
        }
        return unit.isEmpty() && !matcher.group(1).contains(".") ? Long.parseLong(matcher.group(1)) : (long) bytes;
    }

    /** The size with a unit that keeps it below 1024, for people. */
    public static String format(long bytes) {
        if (bytes < 1024) {
            return bytes + " B";
        }
        double value = bytes;
        int unit = -1;
        while (value >= 1024 && unit < UNITS.length() - 1) {
            value /= 1024;
            unit++;
        }
        return String.format(Locale.ROOT, value < 10 ? "%.1f %ciB" : "%.0f %ciB", value, UNITS.charAt(unit));
    }

    /** The size without loss, in the largest unit that divides it, in a form that {@link #parse} reads. */
    public static String formatExact(long bytes) {
        long value = bytes;
        int unit = -1;
        while (value != 0 && value % 1024 == 0 && unit < UNITS.length() - 1) {
            value /= 1024;
            unit++;
        }
        return unit < 0 ? String.valueOf(value) : value + UNITS.substring(unit, unit + 1) + "iB";
    }

    private static CaesuraException invalid(String text) {
        return new CaesuraException(
                ErrorCode.EINVAL, "not a size: '" + text + "'", "write a number of bytes, or one with K, M, G or T");
    }
}
