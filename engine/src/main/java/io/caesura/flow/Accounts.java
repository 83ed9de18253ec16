package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.scheduler.ProgramRunner;
import java.nio.file.Path;
import java.util.List;

/** The user database. Asked by getent, which knows LDAP and the like, as the JVM does not. */
public final class Accounts {

    private static final int HOME = 5;
    private static final int FIELDS = 7;

    private final ProgramRunner programs;

    public Accounts(ProgramRunner programs) {
        this.programs = programs;
    }

    /** @throws CaesuraException EINVAL if there is no such user */
    public Path home(String user) throws CaesuraException {
        String line =
                programs.run(List.of("getent", "passwd", "--", user)).out().strip();
        List<String> fields = List.of(line.split(":", -1));
        if (fields.size() != FIELDS || !fields.get(HOME).startsWith("/")) {
            throw new CaesuraException(
                    ErrorCode.EINVAL, "user '" + user + "' has no home folder on this host", "check getent passwd");
        }
        return Path.of(fields.get(HOME));
    }
}
