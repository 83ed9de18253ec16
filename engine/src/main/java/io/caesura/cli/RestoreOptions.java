package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Option;

/** Which ids the processes get. */
@Section("Ids of the processes")
final class RestoreOptions {

    private static final List<String> NAMESPACES = List.of("auto", "current", "new");

    private final Map<String, Boolean> ids = new LinkedHashMap<>();

    @Option(
            order = 1,
            names = "--pid-namespace",
            paramLabel = "WHERE",
            description = "Where the old pids are had. 'current': beside cr_restart, which needs root or "
                    + "cap_checkpoint_restore, and fails with 16 if one is taken; 'new': in a fresh namespace, where "
                    + "none is taken; 'auto' (default): 'new' for a job, else 'current' where it is permitted, else "
                    + "'new'.")
    private String namespace = "auto";

    @Option(order = 2, names = "--restore-pid", description = "Pids and thread ids as they were (default).")
    void pid(boolean given) {
        ids.put("pid", true);
    }

    @Option(order = 3, names = "--no-restore-pid", description = "New ones.")
    void noPid(boolean given) {
        ids.put("pid", false);
    }

    @Option(order = 4, names = "--restore-pgid", description = "Process groups as they were.")
    void pgid(boolean given) {
        ids.put("pgid", true);
    }

    @Option(order = 5, names = "--no-restore-pgid", description = "All in the process group of cr_restart (default).")
    void noPgid(boolean given) {
        ids.put("pgid", false);
    }

    @Option(order = 6, names = "--restore-sid", description = "Sessions as they were.")
    void sid(boolean given) {
        ids.put("sid", true);
    }

    @Option(order = 7, names = "--no-restore-sid", description = "All in the session of cr_restart (default).")
    void noSid(boolean given) {
        ids.put("sid", false);
    }

    String namespace() throws CaesuraException {
        if (!NAMESPACES.contains(namespace)) {
            throw new CaesuraException(
                    ErrorCode.EINVAL, "--pid-namespace=" + namespace + " is unknown", "write auto, current or new");
        }
        return namespace;
    }

    Map<String, Boolean> ids() {
        return ids;
    }
}
