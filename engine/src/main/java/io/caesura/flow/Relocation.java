package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.Optional;

/**
 * One --relocate: paths of the context that start with one folder or file are looked for under another.
 *
 * @param from absolute, without a slash at its end
 * @param to the same
 */
public record Relocation(String from, String to) {

    /** How many one restart takes. */
    public static final int MOST = 16;

    /**
     * Parses OLD=NEW, in which \= and \\ stand for = and \.
     *
     * @return empty if OLD and NEW are the same, as there is nothing to do
     * @throws CaesuraException EINVAL
     */
    public static Optional<Relocation> parse(String argument) throws CaesuraException {
        StringBuilder[] sides = {new StringBuilder(), new StringBuilder()};
        int side = 0;
        for (int i = 0; i < argument.length(); i++) {
            char c = argument.charAt(i);
            if (c == '\\' && i + 1 < argument.length() && "=\\".indexOf(argument.charAt(i + 1)) >= 0) {
                sides[side].append(argument.charAt(++i));
            } else if (c == '=') {
                if (++side > 1) {
                    throw invalid(argument, "more than one '='");
                }
            } else {
                sides[side].append(c);
            }
        }
        if (side == 0) {
            throw invalid(argument, "no '='");
        }
        Relocation relocation = new Relocation(clean(argument, sides[0]), clean(argument, sides[1]));
        return relocation.from.equals(relocation.to) ? Optional.empty() : Optional.of(relocation);
    }

    /** As cr-restore takes it. */
    public String toArgument() {
        return escape(from) + "=" + escape(to);
    }

    private static String escape(String path) {
        return path.replace("\\", "\\\\").replace("=", "\\=");
    }

    private static String clean(String argument, StringBuilder path) throws CaesuraException {
        if (path.length() == 0 || path.charAt(0) != '/') {
            throw invalid(argument, "'" + path + "' is not an absolute path");
        }
        int end = path.length();
        while (end > 1 && path.charAt(end - 1) == '/') {
            end--;
        }
        return path.substring(0, end);
    }

    private static CaesuraException invalid(String argument, String why) {
        return new CaesuraException(
                ErrorCode.EINVAL,
                "--relocate " + argument + ": " + why,
                "write OLD=NEW with two absolute paths, and \\= for a '=' in one");
    }
}
