package io.caesura.policy;

import io.caesura.error.CaesuraException;
import java.nio.file.Path;

/**
 * Whose job it is, for paths that differ by user.
 *
 * @param name of the user
 * @param home folder by the passwd database
 */
public record Owner(String name, Path home) {

    /** The user who runs this program, as the JVM finds him in the passwd database. */
    static Owner current() {
        return new Owner(System.getProperty("user.name", ""), Path.of(System.getProperty("user.home", "/")));
    }

    /** The name as one component of a path. @throws CaesuraException EPOLICY if it cannot be one */
    String nameForPath() throws CaesuraException {
        // The JVM says '?' where the passwd database does not know the user.
        if (name.isEmpty() || name.equals("?") || name.startsWith(".") || name.contains("/")) {
            throw Values.invalid(
                    "no name to put in for %u: the user is called '" + name + "'", "name the folder in full");
        }
        return name;
    }
}
