package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureResult;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** An inherited descriptor, such as a pipe. It stays open, and there is nothing to rename or to remove. */
public final class FdTarget implements ContextTarget {

    private final RawFiles raw;
    private final DurableFiles durable;
    private final int descriptor;

    public FdTarget(RawFiles raw, int descriptor, boolean sync) {
        this.raw = raw;
        this.durable = new DurableFiles(raw, sync);
        this.descriptor = descriptor;
    }

    @Override
    public void prepare() throws CaesuraException {
        FileFacts facts = raw.stat(descriptor);
        if (facts.isFolder()) {
            throw new CaesuraException(ErrorCode.EISDIR, name() + " is a folder");
        }
        // A number that nobody handed down is perhaps a file that the JVM itself reads.
        if (!raw.isWritable(descriptor)) {
            throw new CaesuraException(ErrorCode.EBADF, name() + " is not open for writing");
        }
        if (!facts.isRegular() && !facts.isFifo() && !facts.isSocket()) {
            throw new CaesuraException(
                    ErrorCode.EINVAL, name() + " is not a file, pipe or socket", "redirect it to one of these");
        }
    }

    @Override
    public boolean isPerProcess() {
        return false;
    }

    @Override
    public int[] open(int[] pids) {
        return new int[] {descriptor};
    }

    @Override
    public void commit(CaptureResult result) throws CaesuraException {
        durable.syncFile(descriptor);
    }

    @Override
    public void abort() {
        // What went down a pipe cannot be taken back; the missing end record tells the reader.
    }

    @Override
    public String name() {
        return "descriptor " + descriptor;
    }

    @Override
    public String path() {
        try {
            String link = Files.readSymbolicLink(Path.of("/proc/self/fd/" + descriptor))
                    .toString();
            // A pipe or socket is "pipe:[1]" or the like.
            return link.startsWith("/") && !link.endsWith(" (deleted)") ? link : "";
        } catch (IOException e) {
            return "";
        }
    }

    @Override
    public void close() {
        // The descriptor is the caller's.
    }
}
