package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureResult;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One file for the whole scope, mode 0400 as BLCR's. An existing FIFO is written to as it is; there is nothing to replace.
 */
public final class FileTarget implements ContextTarget {

    private static final int MODE = 0400;

    private final RawFiles raw;
    private final DurableFiles durable;
    private final Temporaries temporaries;
    private final String path;
    private final ReplacePolicy policy;
    private final Backup backup;
    private final TargetPath target;
    private final Fate fate = new Fate();
    private volatile int folder = -1;
    private int descriptor = -1;

    /** What abort() removes; null: nothing. */
    @Nullable
    private volatile String written;

    /** @param backupName for BACKUP: the backup's path, or null for the first free PATH.~N~ */
    public FileTarget(RawFiles raw, String path, ReplacePolicy policy, @Nullable String backupName, boolean sync)
            throws CaesuraException {
        this.raw = raw;
        this.durable = new DurableFiles(raw, sync);
        this.temporaries = new Temporaries(raw, durable);
        this.path = path;
        this.policy = policy;
        this.backup = new Backup(raw, backupName);
        this.target = TargetPath.of(path);
        if (path.endsWith("/")) {
            throw new CaesuraException(ErrorCode.EISDIR, "'" + path + "' is a folder");
        }
    }

    @Override
    public void prepare() throws CaesuraException {
        folder = raw.openAt(RawFiles.AT_FDCWD, target.folder(), RawFiles.O_RDONLY | RawFiles.O_DIRECTORY, 0);
        Optional<FileFacts> existing = raw.stat(folder, target.name());
        if (existing.isPresent()) {
            refuseUnsuitable(existing.get());
        }
        if (existing.isPresent() && existing.get().isFifo()) {
            descriptor = openFifo();
        } else if (policy == ReplacePolicy.CLOBBER) {
            descriptor = openClobbered();
            written = target.name();
        } else {
            descriptor = temporaries.makeFile(folder, target.temporaryName(), MODE);
            written = target.temporaryName();
        }
    }

    private void refuseUnsuitable(FileFacts existing) throws CaesuraException {
        if (existing.isFolder()) {
            throw new CaesuraException(ErrorCode.EISDIR, "'" + path + "' is a folder");
        }
        boolean isLink = (existing.mode() & 0170000) == 0120000;
        if (!existing.isRegular() && !existing.isFifo() && !existing.isSocket() && !isLink) {
            throw new CaesuraException(
                    ErrorCode.EINVAL, "'" + path + "' is not a regular file, socket or FIFO", "choose another target");
        }
        if (policy == ReplacePolicy.NOCLOBBER) {
            throw new CaesuraException(ErrorCode.EEXIST, "'" + path + "' exists");
        }
    }

    private int openFifo() throws OsException {
        // Non-blocking, so that a FIFO without a reader is an error (ENXIO) and not an endless wait.
        int fifo = raw.openAt(folder, target.name(), RawFiles.O_WRONLY | RawFiles.O_NONBLOCK | RawFiles.O_NOCTTY, 0);
        raw.makeBlocking(fifo);
        return fifo;
    }

    private int openClobbered() throws OsException {
        int flags = RawFiles.O_WRONLY | RawFiles.O_CREAT | RawFiles.O_TRUNC | RawFiles.O_NONBLOCK | RawFiles.O_NOCTTY;
        try {
            return raw.openAt(folder, target.name(), flags, MODE);
        } catch (OsException e) {
            if (e.errno() != Errno.EACCES) {
                throw e;
            }
            // Contexts are read-only files, so an old one has to go before its name can be used again.
            raw.unlink(folder, target.name());
            return raw.openAt(folder, target.name(), flags, MODE);
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
        fate.commit(path);
        String temporary = written;
        if (temporary == null) {
            return;
        }
        if (temporary.equals(target.name())) {
            durable.syncFolder(folder);
            return;
        }
        boolean placed = false;
        try {
            if (policy == ReplacePolicy.NOCLOBBER) {
                durable.place(folder, temporary, target.name());
            } else {
                if (policy == ReplacePolicy.BACKUP
                        && raw.stat(folder, target.name()).isPresent()) {
                    backup.keep(path, false);
                }
                durable.replace(folder, temporary, target.name());
            }
            placed = true;
        } finally {
            if (!placed && raw.stat(folder, temporary).isPresent()) {
                raw.unlink(folder, temporary);
            }
        }
    }

    @Override
    public void abort() {
        String name = written;
        if (name == null || !fate.abort()) {
            return;
        }
        durable.removeIfPossible(folder, name);
    }

    @Override
    public String name() {
        return path;
    }

    @Override
    public String path() {
        return Path.of(path).toAbsolutePath().normalize().toString();
    }

    @Override
    public void close() {
        durable.closeAll(descriptor, folder);
        descriptor = -1;
        folder = -1;
    }
}
