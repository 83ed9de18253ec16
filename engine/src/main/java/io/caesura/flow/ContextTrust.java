package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.Scanner;
import java.util.stream.Stream;

/**
 * Refuses a context that another user could have written: it becomes a process with the caller's rights. It needs nothing
 * but the JDK, so that a plain cr_restart starts fast.
 */
public final class ContextTrust {

    private static final int GROUP_OR_OTHERS_WRITE = 022;
    private static final int OTHERS_WRITE = 002;
    private static final int STICKY = 01000;

    private final int user;

    /** @param user id of the user who restarts */
    public ContextTrust(int user) {
        this.user = user;
    }

    /** For the user of this process. */
    public static ContextTrust ofThisUser() throws CaesuraException {
        Path status = Path.of("/proc/self/status");
        try (Stream<String> lines = Files.lines(status)) {
            // "Uid:" real, effective, saved and file system id; see proc(5).
            return lines.filter(line -> line.startsWith("Uid:"))
                    .map(line -> new ContextTrust(effectiveId(line)))
                    .findFirst()
                    .orElseThrow(() -> new CaesuraException(ErrorCode.EENGINE, status + " has no line Uid:"));
        } catch (IOException e) {
            throw unreadable(status, e);
        }
    }

    private static int effectiveId(String line) {
        try (Scanner words = new Scanner(line)) {
            words.next();
            words.nextInt();
            return words.nextInt();
        }
    }

    /**
     * Checks a context file and the folder that it is in.
     *
     * @throws CaesuraException EUNTRUSTED; ENOENT or EACCES if it cannot be looked at
     */
    public void requireFile(Path file) throws CaesuraException {
        requireOwnedAndClosed(file, facts(file));
        Path real = real(file);
        Path folder = real.getParent();
        if (folder != null) {
            requireFolder(folder);
        }
    }

    /** Checks what an inherited descriptor leads to, if that is a file: there is no folder to look at. */
    public void requireDescriptor(int descriptor) throws CaesuraException {
        Path path = Path.of("/proc/self/fd/" + descriptor);
        if (Files.isRegularFile(path)) {
            requireOwnedAndClosed(path, facts(path));
        }
    }

    private void requireFolder(Path folder) throws CaesuraException {
        Facts facts = facts(folder);
        if ((facts.mode() & OTHERS_WRITE) != 0 && (facts.mode() & STICKY) == 0) {
            throw untrusted(folder + " is a folder in which everybody may replace files");
        }
    }

    private void requireOwnedAndClosed(Path file, Facts facts) throws CaesuraException {
        if (facts.uid() != user && facts.uid() != 0) {
            throw untrusted(file + " belongs to user " + facts.uid());
        }
        if ((facts.mode() & GROUP_OR_OTHERS_WRITE) != 0) {
            throw untrusted("%s may be written by others (mode %04o)".formatted(file, facts.mode() & 07777));
        }
    }

    private record Facts(int uid, int mode) {}

    private static Facts facts(Path path, LinkOption... options) throws CaesuraException {
        try {
            Map<String, Object> found = Files.readAttributes(path, "unix:uid,mode", options);
            return new Facts(number(found, "uid"), number(found, "mode"));
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    private static int number(Map<String, Object> found, String name) {
        return (Integer) Objects.requireNonNull(found.get(name), name);
    }

    private static Path real(Path path) throws CaesuraException {
        try {
            return path.toRealPath();
        } catch (IOException e) {
            throw unreadable(path, e);
        }
    }

    private static CaesuraException unreadable(Path path, IOException cause) {
        return cause instanceof NoSuchFileException
                ? new CaesuraException(ErrorCode.ENOENT, path + " does not exist", "check the name of the context")
                : new CaesuraException(ErrorCode.EACCES, path + " cannot be read");
    }

    private static CaesuraException untrusted(String message) {
        return new CaesuraException(ErrorCode.EUNTRUSTED, message);
    }
}
