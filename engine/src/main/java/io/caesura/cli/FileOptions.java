package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.model.ByteSize;
import io.caesura.model.CaptureRequest;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;

/** Roll-back of files, and syncing. */
@Section("Files")
final class FileOptions {

    private boolean sync = true;
    private final List<String> track = new ArrayList<>();

    @Option(
            order = 1,
            names = "--copy-limit",
            paramLabel = "SIZE",
            description =
                    "Files that the processes write in place are copied into the context up to SIZE each, such as 512M "
                            + "(default: 64MiB); a restart then puts them back.")
    private Optional<String> copyLimit = Optional.empty();

    @Option(
            order = 2,
            names = "--track",
            paramLabel = "PATH",
            description =
                    "Also roll back this file, or all files below this folder, though no process has them open. May be "
                            + "repeated.")
    void track(Path path) {
        track.add(path.toAbsolutePath().normalize().toString());
    }

    @Option(order = 3, names = "--sync", description = "Sync the context and its folder to disk before exit (default).")
    void sync(boolean given) {
        sync = true;
    }

    @Option(order = 4, names = "--nosync", description = "Do not.")
    void nosync(boolean given) {
        sync = false;
    }

    boolean isSync() {
        return sync;
    }

    /** Absolute paths. */
    List<String> tracked() {
        return List.copyOf(track);
    }

    /** @throws CaesuraException EINVAL if the limit is not a size */
    long copyLimitBytes() throws CaesuraException {
        return copyLimit.isPresent() ? ByteSize.parse(copyLimit.get()) : CaptureRequest.DEFAULT_COPY_LIMIT_BYTES;
    }
}
