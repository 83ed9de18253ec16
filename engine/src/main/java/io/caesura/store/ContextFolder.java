package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A folder with one file context.PID per process, as it is read. */
public final class ContextFolder {

    private static final Pattern CONTEXT_NAME = Pattern.compile("context\\.\\d+");

    private ContextFolder() {}

    static boolean isContext(String name) {
        return CONTEXT_NAME.matcher(name).matches();
    }

    /**
     * The context files of a folder.
     *
     * @throws CaesuraException ENOENT if there are none; EUSAGE if the folder cannot be read, as in BLCR
     */
    public static List<Path> files(Path folder) throws CaesuraException {
        try (Stream<Path> entries = Files.list(folder)) {
            List<Path> files = entries.filter(path -> isContext(String.valueOf(path.getFileName())))
                    .sorted()
                    .toList();
            if (files.isEmpty()) {
                throw new CaesuraException(
                        ErrorCode.ENOENT, "no context.PID in '" + folder + "'", "check the folder's name");
            }
            return files;
        } catch (IOException e) {
            throw new CaesuraException(
                    ErrorCode.EUSAGE, "cannot read folder '" + folder + "'", "check the name of the folder");
        }
    }
}
