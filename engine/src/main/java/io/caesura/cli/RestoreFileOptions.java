package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.Relocation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Files at a restart. */
@Section("Files")
final class RestoreFileOptions {

    @Option(
            order = 1,
            names = "--relocate",
            paramLabel = "OLD=NEW",
            description =
                    "Paths of the context that begin with OLD are looked for under NEW; both are absolute, and \\= stands "
                            + "for a '=' in them. Up to 16 times; the first that fits counts.")
    private List<String> relocate = new ArrayList<>();

    @Option(
            order = 2,
            names = "--aside",
            paramLabel = "DIR",
            description =
                    "Where the ends of files go that are cut back, and files that are replaced (default: FILE.aside).")
    @Nullable
    private Path aside;

    @Option(
            order = 3,
            names = "--allow-changed-files",
            description = "Go on if a file that the context refers to has changed since.")
    private boolean allowChanged;

    /** Absolute, so that it does not depend on where the processes run. */
    Optional<String> aside() {
        return Optional.ofNullable(aside).map(folder -> folder.toAbsolutePath().toString());
    }

    boolean isAllowChanged() {
        return allowChanged;
    }

    /** @throws CaesuraException EINVAL if one is not valid, or there are too many */
    List<Relocation> relocations() throws CaesuraException {
        List<Relocation> relocations = new ArrayList<>();
        for (String argument : relocate) {
            Relocation.parse(argument).ifPresent(relocations::add);
        }
        if (relocations.size() > Relocation.MOST) {
            throw new CaesuraException(
                    ErrorCode.EINVAL,
                    relocations.size() + " relocations are too many",
                    "give at most " + Relocation.MOST + "; name a folder that several have in common");
        }
        return relocations;
    }
}
