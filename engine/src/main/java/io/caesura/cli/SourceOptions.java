package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.ContextTrust;
import io.caesura.store.ContextFolder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where a context is read from. */
@Section("The context (at most one)")
final class SourceOptions {

    private int given;

    @Nullable
    private String file;

    @Nullable
    private String folder;

    private int descriptor = -1;

    @Option(
            order = 1,
            names = {"-f", "--file"},
            paramLabel = "FILE",
            description = "A file; the same as the operand.")
    void file(Path path) {
        given++;
        file = path.toString();
    }

    @Option(
            order = 2,
            names = {"-F", "--fd"},
            paramLabel = "FD",
            description = "An open file descriptor, such as a pipe.")
    void descriptor(int number) {
        given++;
        descriptor = number;
    }

    @Option(
            order = 3,
            names = {"-d", "--dir"},
            paramLabel = "DIR",
            description = "A folder with one file context.PID per process.")
    void folder(Path path) {
        given++;
        folder = path.toString();
    }

    int given() {
        return given;
    }

    /** The inherited descriptor; -1: none. */
    int descriptor() {
        return descriptor;
    }

    /**
     * The files of the context, which may be read and could have been written by nobody else.
     *
     * @param operand the file that stands for itself on the command line
     * @return empty if the context comes from a descriptor
     * @throws CaesuraException EUNTRUSTED; EUSAGE if a file cannot be opened, as in BLCR
     */
    List<String> files(Optional<String> operand, ContextTrust trust) throws CaesuraException {
        if (descriptor >= 0) {
            trust.requireDescriptor(descriptor);
            return List.of();
        }
        if (folder != null) {
            return checked(ContextFolder.files(Path.of(folder)), trust);
        }
        String path = file != null ? file : operand.orElseThrow();
        if (Files.isDirectory(Path.of(path))) {
            throw new CaesuraException(ErrorCode.EISDIR, "'" + path + "' is a folder");
        }
        return checked(List.of(Path.of(path)), trust);
    }

    private static List<String> checked(List<Path> files, ContextTrust trust) throws CaesuraException {
        for (Path path : files) {
            if (!Files.isReadable(path)) {
                String why = Files.exists(path) ? "permission denied" : "no such file";
                throw new CaesuraException(
                        ErrorCode.EUSAGE, "cannot open '" + path + "': " + why, "check the name of the context");
            }
            trust.requireFile(path);
        }
        return files.stream().map(Path::toString).toList();
    }
}
