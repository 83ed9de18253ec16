package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureResult;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A folder with one context.PID per process. An existing folder is replaced only if there is nothing but contexts in it,
 * so that a slip of the finger cannot cost a home folder.
 */
public final class FolderTarget implements ContextTarget {

    private static final int FILE_MODE = 0400;
    private static final int FOLDER_FLAGS = RawFiles.O_RDONLY | RawFiles.O_DIRECTORY | RawFiles.O_NOFOLLOW;

    private final RawFiles raw;
    private final DurableFiles durable;
    private final Temporaries temporaries;
    private final String path;
    private final ReplacePolicy policy;
    private final Backup backup;
    private final TargetPath target;
    private final Fate fate = new Fate();
    private volatile int parent = -1;
    private volatile int folder = -1;
    private int[] files = {};

    /** @param backupName for BACKUP: the backup's path, or null for the first free PATH.~N~ */
    public FolderTarget(RawFiles raw, String path, ReplacePolicy policy, @Nullable String backupName, boolean sync)
            throws CaesuraException {
        this.raw = raw;
        this.durable = new DurableFiles(raw, sync);
        this.temporaries = new Temporaries(raw, durable);
        this.path = path;
        this.policy = policy;
        this.backup = new Backup(raw, backupName);
        this.target = TargetPath.of(path);
    }

    @Override
    public void prepare() throws CaesuraException {
        parent = raw.openAt(RawFiles.AT_FDCWD, target.folder(), RawFiles.O_RDONLY | RawFiles.O_DIRECTORY, 0);
        Optional<FileFacts> existing = raw.stat(parent, target.name());
        if (existing.isPresent()) {
            if (policy == ReplacePolicy.NOCLOBBER) {
                throw new CaesuraException(ErrorCode.EEXIST, "'" + path + "' exists");
            }
            requireContextFolder(existing.get());
            if (policy == ReplacePolicy.CLOBBER) {
                durable.removeTree(parent, target.name());
            }
        }
        folder = temporaries.makeFolder(parent, target.temporaryName());
    }

    private void requireContextFolder(FileFacts existing) throws CaesuraException {
        if (!existing.isFolder()) {
            throw new CaesuraException(ErrorCode.ENOTDIR, "'" + path + "' is not a folder");
        }
        int opened = raw.openAt(parent, target.name(), FOLDER_FLAGS, 0);
        try {
            for (String entry : raw.list(opened)) {
                if (!ContextFolder.isContext(entry)) {
                    throw new CaesuraException(
                            ErrorCode.EEXIST,
                            "'" + path + "' holds '" + entry + "', which is not a context, and is left alone",
                            "name a new folder");
                }
            }
        } finally {
            raw.close(opened);
        }
    }

    @Override
    public boolean isPerProcess() {
        return true;
    }

    @Override
    public int[] open(int[] pids) throws CaesuraException {
        files = new int[pids.length];
        Arrays.fill(files, -1);
        int flags = RawFiles.O_WRONLY | RawFiles.O_CREAT | RawFiles.O_EXCL | RawFiles.O_NOFOLLOW;
        for (int i = 0; i < pids.length; i++) {
            files[i] = raw.openAt(folder, "context." + pids[i], flags, FILE_MODE);
        }
        return files.clone();
    }

    @Override
    public void commit(CaptureResult result) throws CaesuraException {
        for (int file : files) {
            durable.syncFile(file);
        }
        durable.syncFolder(folder);
        fate.commit(path);
        boolean placed = false;
        try {
            putInPlace();
            placed = true;
        } finally {
            if (!placed) {
                durable.removeTree(parent, target.temporaryName());
            }
        }
    }

    private void putInPlace() throws CaesuraException {
        String temporary = target.temporaryName();
        if (raw.stat(parent, target.name()).isEmpty()) {
            durable.replace(parent, temporary, target.name());
        } else if (policy == ReplacePolicy.NOCLOBBER) {
            throw new CaesuraException(ErrorCode.EEXIST, "'" + path + "' exists");
        } else if (policy == ReplacePolicy.BACKUP) {
            backup.keep(path, true);
            durable.replace(parent, temporary, target.name());
        } else {
            exchange(temporary);
            durable.removeTree(parent, temporary);
        }
    }

    /** Afterwards the old folder has the temporary name. */
    private void exchange(String temporary) throws OsException {
        try {
            raw.rename(parent, temporary, target.name(), RawFiles.RENAME_EXCHANGE);
        } catch (OsException e) {
            if (e.errno() != Errno.EINVAL && e.errno() != Errno.ENOSYS) {
                throw e;
            }
            // NFS cannot exchange. A crash between these two leaves the old contexts under this name.
            String aside = "." + target.name() + ".old";
            durable.removeTree(parent, aside);
            raw.rename(parent, target.name(), aside, 0);
            raw.rename(parent, temporary, target.name(), 0);
            durable.syncFolder(parent);
            durable.removeTree(parent, aside);
            return;
        }
        durable.syncFolder(parent);
    }

    @Override
    public void abort() {
        if (folder < 0 || !fate.abort()) {
            return;
        }
        durable.removeIfPossible(parent, target.temporaryName());
    }

    @Override
    public String name() {
        return path;
    }

    /** As BLCR has it: what is in the folder is not known yet. */
    @Override
    public String path() {
        return Path.of(path).toAbsolutePath().normalize() + "/.";
    }

    @Override
    public void close() {
        durable.closeAll(files);
        durable.closeAll(folder, parent);
        files = new int[0];
        folder = -1;
        parent = -1;
    }
}
