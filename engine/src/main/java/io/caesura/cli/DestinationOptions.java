package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.store.ContextTarget;
import io.caesura.store.FdTarget;
import io.caesura.store.FileTarget;
import io.caesura.store.FolderTarget;
import io.caesura.store.RawFiles;
import io.caesura.store.ReplacePolicy;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where the context goes: one destination at most. */
@Section("Destination (at most one)")
final class DestinationOptions {

    private int given;

    @Nullable
    private String file;

    @Nullable
    private String folder;

    private int descriptor = -1;

    @Option(
            order = 1,
            names = {"-c", "--cwd"},
            description = "One file context.ID in the working folder (default).")
    void cwd(boolean chosen) {
        given++;
    }

    @Option(
            order = 2,
            names = {"-d", "--dir"},
            paramLabel = "DIR",
            description = "A new folder DIR, with one file context.PID per process.")
    void folder(Path path) {
        given++;
        folder = path.toString();
    }

    @Option(
            order = 3,
            names = {"-f", "--file"},
            paramLabel = "FILE",
            description = "One file FILE.")
    void file(Path path) {
        given++;
        file = path.toString();
    }

    @Option(
            order = 4,
            names = {"-F", "--fd"},
            paramLabel = "FD",
            description = "An open file descriptor, such as a pipe.")
    void descriptor(int number) {
        given++;
        descriptor = number;
    }

    /** Whether any was given. */
    boolean isGiven() {
        return given > 0;
    }

    /** @throws CaesuraException EINVAL if two destinations were given */
    ContextTarget target(RawFiles raw, String defaultName, ReplaceOptions replace, boolean sync)
            throws CaesuraException {
        if (given > 1) {
            throw new CaesuraException(ErrorCode.EINVAL, "more than one destination", "give one of -c, -d, -f and -F");
        }
        ReplacePolicy policy = replace.policy();
        if (folder != null) {
            return new FolderTarget(raw, folder, policy, replace.backupName(), sync);
        }
        if (descriptor >= 0) {
            return new FdTarget(raw, descriptor, sync);
        }
        return new FileTarget(raw, file != null ? file : defaultName, policy, replace.backupName(), sync);
    }
}
