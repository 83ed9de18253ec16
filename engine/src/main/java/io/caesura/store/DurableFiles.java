package io.caesura.store;

import io.caesura.error.CaesuraException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;

/**
 * The order of durable writes, in one place: sync the file, rename it, sync the folder. After a crash at any moment the
 * old file is there whole, or the new one is.
 */
public final class DurableFiles {

    private static final int SMALL_FILE_LIMIT_BYTES = 16 << 20;

    private final RawFiles raw;
    private final boolean sync;

    /** @param sync false leaves the syncs out: what was written survives a crash of the program, not of the machine */
    public DurableFiles(RawFiles raw, boolean sync) {
        this.raw = raw;
        this.sync = sync;
    }

    /** Syncs a file; does nothing for pipes and sockets. */
    public void syncFile(int descriptor) throws OsException {
        if (!sync) {
            return;
        }
        try {
            raw.fsync(descriptor);
        } catch (OsException e) {
            if (e.errno() != Errno.EINVAL) {
                throw e;
            }
        }
    }

    /** Syncs a folder. File systems that cannot (EINVAL, and EROFS of some NFS servers) order renames by themselves. */
    public void syncFolder(int folder) throws OsException {
        if (!sync) {
            return;
        }
        try {
            raw.fsync(folder);
        } catch (OsException e) {
            if (e.errno() != Errno.EINVAL && e.errno() != Errno.EROFS) {
                throw e;
            }
        }
    }

    /** Puts a complete, synced file or folder in the place of target and makes that durable. */
    public void replace(int folder, String temporary, String target) throws OsException {
        raw.rename(folder, temporary, target, 0);
        syncFolder(folder);
    }

    /**
     * Puts a complete, synced file in a place where nothing may be.
     *
     * @throws OsException EEXIST if something is there
     */
    public void place(int folder, String temporary, String target) throws OsException {
        try {
            raw.rename(folder, temporary, target, RawFiles.RENAME_NOREPLACE);
        } catch (OsException e) {
            if (e.errno() != Errno.EINVAL && e.errno() != Errno.ENOSYS) {
                throw e;
            }
            // NFS knows no RENAME_NOREPLACE, but a link fails if its name is taken.
            raw.link(folder, temporary, target);
            raw.unlink(folder, temporary);
        }
        syncFolder(folder);
    }

    /** Writes a small file so that readers see the old or the new contents. Mode 0600. */
    public void write(int folder, String name, String text) throws OsException {
        String temporary = "." + name + ".tmp";
        if (raw.stat(folder, temporary).isPresent()) {
            raw.unlink(folder, temporary);
        }
        int flags = RawFiles.O_WRONLY | RawFiles.O_CREAT | RawFiles.O_EXCL | RawFiles.O_NOFOLLOW;
        int descriptor = raw.openAt(folder, temporary, flags, 0600);
        try {
            raw.write(descriptor, text.getBytes(StandardCharsets.UTF_8));
            syncFile(descriptor);
        } catch (OsException e) {
            raw.unlink(folder, temporary);
            throw e;
        } finally {
            raw.close(descriptor);
        }
        replace(folder, temporary, name);
    }

    /** Contents of a small file; empty if it is missing. Links are refused with ELOOP. */
    public Optional<String> read(int folder, String name) throws CaesuraException {
        int descriptor;
        try {
            descriptor = raw.openAt(folder, name, RawFiles.O_RDONLY | RawFiles.O_NOFOLLOW | RawFiles.O_NONBLOCK, 0);
        } catch (OsException e) {
            if (e.errno() == Errno.ENOENT) {
                return Optional.empty();
            }
            throw e;
        }
        try {
            return Optional.of(new String(raw.read(descriptor, SMALL_FILE_LIMIT_BYTES), StandardCharsets.UTF_8));
        } finally {
            raw.close(descriptor);
        }
    }

    /** Removes a folder and what is in it, never following a link. Missing is fine. */
    public void removeTree(int folder, String name) throws OsException {
        Optional<FileFacts> facts = raw.stat(folder, name);
        if (facts.isEmpty()) {
            return;
        }
        if (!facts.get().isFolder()) {
            raw.unlink(folder, name);
            return;
        }
        int flags = RawFiles.O_RDONLY | RawFiles.O_DIRECTORY | RawFiles.O_NOFOLLOW;
        int inner = raw.openAt(folder, name, flags, 0);
        try {
            for (String entry : raw.list(inner)) {
                removeTree(inner, entry);
            }
        } finally {
            raw.close(inner);
        }
        raw.removeFolder(folder, name);
    }

    /**
     * Removes what a failed write left. That it failed is what has to be reported, so a failure here is not: the next
     * checkpoint to the same target removes what is left.
     */
    boolean removeIfPossible(int folder, String name) {
        try {
            removeTree(folder, name);
            return true;
        } catch (OsException e) {
            return false;
        }
    }

    /** Closes descriptors; negative ones are skipped. */
    void closeAll(int... descriptors) {
        Arrays.stream(descriptors).filter(d -> d >= 0).forEach(raw::close);
    }
}
