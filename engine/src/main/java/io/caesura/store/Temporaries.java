package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.Optional;

/**
 * Temporary files and folders with a writer. The writer holds a flock on what it writes: one that nobody locks was left by
 * a writer that died and is removed, one that is locked means that another checkpoint to the same target is under way.
 */
final class Temporaries {

    private static final int ATTEMPTS = 8;

    private final RawFiles raw;
    private final DurableFiles durable;

    Temporaries(RawFiles raw, DurableFiles durable) {
        this.raw = raw;
        this.durable = durable;
    }

    /** Makes and locks a file, open for writing. */
    int makeFile(int folder, String name, int mode) throws CaesuraException {
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            removeAbandoned(folder, name);
            int flags = RawFiles.O_WRONLY | RawFiles.O_CREAT | RawFiles.O_EXCL | RawFiles.O_NOFOLLOW;
            try {
                int descriptor = raw.openAt(folder, name, flags, mode);
                if (isOurs(folder, name, descriptor)) {
                    return descriptor;
                }
            } catch (OsException e) {
                if (e.errno() != Errno.EEXIST) {
                    throw e;
                }
            }
        }
        throw busy(name);
    }

    /** Makes and locks a folder with mode 0700, open for reading. */
    int makeFolder(int folder, String name) throws CaesuraException {
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            removeAbandoned(folder, name);
            try {
                raw.makeFolder(folder, name, 0700);
                int descriptor = openFolder(folder, name);
                if (isOurs(folder, name, descriptor)) {
                    return descriptor;
                }
            } catch (OsException e) {
                if (e.errno() != Errno.EEXIST && e.errno() != Errno.ENOENT) {
                    throw e;
                }
            }
        }
        throw busy(name);
    }

    /** Removes what a dead writer left. */
    void removeAbandoned(int folder, String name) throws CaesuraException {
        Optional<FileFacts> facts = raw.stat(folder, name);
        if (facts.isEmpty()) {
            return;
        }
        if (!facts.get().isRegular() && !facts.get().isFolder()) {
            raw.unlink(folder, name);
            return;
        }
        int descriptor;
        try {
            descriptor = facts.get().isFolder()
                    ? openFolder(folder, name)
                    : raw.openAt(folder, name, RawFiles.O_RDONLY | RawFiles.O_NOFOLLOW | RawFiles.O_NONBLOCK, 0);
        } catch (OsException e) {
            if (e.errno() == Errno.ENOENT) {
                return;
            }
            throw e;
        }
        try {
            if (!raw.tryLock(descriptor)) {
                throw busy(name);
            }
            durable.removeTree(folder, name);
        } finally {
            raw.close(descriptor);
        }
    }

    private int openFolder(int folder, String name) throws OsException {
        return raw.openAt(folder, name, RawFiles.O_RDONLY | RawFiles.O_DIRECTORY | RawFiles.O_NOFOLLOW, 0);
    }

    /** Between making and locking, another writer may have taken it for abandoned and removed it. */
    private boolean isOurs(int folder, String name, int descriptor) throws CaesuraException {
        boolean kept = false;
        try {
            if (raw.tryLock(descriptor)) {
                FileFacts mine = raw.stat(descriptor);
                kept = raw.stat(folder, name).filter(mine::isSameAs).isPresent();
            }
        } finally {
            if (!kept) {
                raw.close(descriptor);
            }
        }
        return kept;
    }

    private static CaesuraException busy(String name) {
        return new CaesuraException(
                ErrorCode.EBUSY,
                "another checkpoint is being written to " + name,
                "wait until it is complete, or choose another target");
    }
}
