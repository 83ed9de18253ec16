package io.caesura.policy;

import io.caesura.error.CaesuraException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.StreamSupport;

/** The name of a store's folder as policies and the site's limits write it: absolute, with %u and %h in it. */
final class StoreFolder {

    /** Where contexts are kept if no policy says otherwise. */
    static final String DEFAULT = "%h/.local/state/caesura";

    private static final String USER = "%u";
    private static final String HOME = "%h";

    private StoreFolder() {}

    /** The pattern itself. @throws CaesuraException EPOLICY if it cannot come to an absolute path without '..' */
    static String check(String pattern) throws CaesuraException {
        // A user and a home of the plainest kind, to see what is wrong with the pattern itself.
        expand(pattern, new Owner("u", Path.of("/h")));
        return pattern;
    }

    /**
     * The folder for this user.
     *
     * @throws CaesuraException EPOLICY if it is not an absolute path, or one with '..'
     */
    static String expand(String pattern, Owner owner) throws CaesuraException {
        StringBuilder path = new StringBuilder();
        for (int i = 0; i < pattern.length(); i++) {
            if (pattern.startsWith(USER, i)) {
                path.append(owner.nameForPath());
                i++;
            } else if (pattern.startsWith(HOME, i)) {
                path.append(owner.home());
                i++;
            } else if (pattern.startsWith("%%", i)) {
                path.append('%');
                i++;
            } else if (pattern.charAt(i) == '%') {
                throw Values.invalid(
                        "nothing to put in for '" + pattern.substring(i, Math.min(i + 2, pattern.length())) + "' in '"
                                + pattern + "'",
                        "write %u for the user's name, %h for the home folder, %% for a percent sign");
            } else {
                path.append(pattern.charAt(i));
            }
        }
        String folder = Values.absolute(path.toString());
        if (parts(Path.of(folder)).contains("..")) {
            throw Values.invalid("'..' in the path '" + pattern + "'", "write the path without it");
        }
        return folder;
    }

    /** Whether folder is one of the allowed ones or below it. */
    static boolean isBelow(String folder, String allowed) {
        return Path.of(folder).normalize().startsWith(Path.of(allowed).normalize());
    }

    private static List<String> parts(Path path) {
        return StreamSupport.stream(path.spliterator(), false)
                .map(Path::toString)
                .toList();
    }
}
