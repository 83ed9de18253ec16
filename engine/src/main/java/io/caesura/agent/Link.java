package io.caesura.agent;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.store.Errno;
import io.caesura.store.OsException;
import io.caesura.store.RawFiles;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/**
 * The supervisor at the other end of a socket: lines of text in both directions. One thread reads; any may send, as a line
 * is short enough to be written at once.
 */
public final class Link {

    private static final int READ_BYTES = 4096;

    private final RawFiles raw;
    private final int descriptor;
    private final StringBuilder unread = new StringBuilder();

    private Link(RawFiles raw, int descriptor) {
        this.raw = raw;
        this.descriptor = descriptor;
    }

    /**
     * The link over an inherited socket.
     *
     * @throws CaesuraException EENGINE if the descriptor is anything else: then the number is wrong, and what has it is a
     *     file of the JVM that must not be written to
     */
    public static Link to(RawFiles raw, int descriptor) throws CaesuraException {
        if (!raw.stat(descriptor).isSocket()) {
            throw new CaesuraException(
                    ErrorCode.EENGINE, "descriptor " + descriptor + " is not the supervisor's socket");
        }
        return new Link(raw, descriptor);
    }

    /** @param line without newline */
    public void send(String line) throws CaesuraException {
        raw.write(descriptor, (line.replace('\n', ' ') + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** Puts a line back, to be received next. */
    public void giveBack(String line) {
        unread.insert(0, line + "\n");
    }

    /** Waits for the next line; empty if the supervisor is gone. */
    public Optional<String> receive() throws CaesuraException {
        int end;
        while ((end = unread.indexOf("\n")) < 0) {
            byte[] data = readSome();
            if (data.length == 0) {
                return Optional.empty();
            }
            unread.append(new String(data, StandardCharsets.UTF_8));
        }
        String line = unread.substring(0, end);
        unread.delete(0, end + 1);
        return Optional.of(line);
    }

    private byte[] readSome() throws OsException {
        try {
            return raw.readSome(descriptor, READ_BYTES);
        } catch (OsException e) {
            // The supervisor went without reading all that it was told.
            if (e.errno() == Errno.ECONNRESET) {
                return new byte[0];
            }
            throw e;
        }
    }
}
