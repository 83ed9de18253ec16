package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import org.jspecify.annotations.Nullable;

/** Keeps an old target under another name: one that was given, or the first free TARGET.~N~. */
final class Backup {

    private static final int LAST_NUMBER = 1 << 16;

    private final RawFiles raw;

    @Nullable
    private final String name;

    Backup(RawFiles raw, @Nullable String name) {
        this.raw = raw;
        this.name = name;
    }

    /**
     * A second name for a file, so that target is there at any moment; where links are not to be had, and for folders, the
     * target is renamed.
     */
    void keep(String target, boolean isFolder) throws CaesuraException {
        if (name != null) {
            raw.rename(RawFiles.AT_FDCWD, target, name, 0);
            return;
        }
        for (int number = 1; number < LAST_NUMBER; number++) {
            String candidate = target + ".~" + number + "~";
            if (raw.stat(RawFiles.AT_FDCWD, candidate).isPresent()) {
                continue;
            }
            try {
                if (isFolder) {
                    raw.rename(RawFiles.AT_FDCWD, target, candidate, 0);
                } else {
                    linkOrRename(target, candidate);
                }
                return;
            } catch (OsException e) {
                // Another backup took the number in between.
                if (e.errno() != Errno.EEXIST && e.errno() != Errno.ENOTEMPTY) {
                    throw e;
                }
            }
        }
        throw new CaesuraException(ErrorCode.EEXIST, "all backup names of " + target + " are taken", "remove some");
    }

    private void linkOrRename(String target, String candidate) throws OsException {
        try {
            raw.link(RawFiles.AT_FDCWD, target, candidate);
        } catch (OsException e) {
            if (e.errno() != Errno.EPERM && e.errno() != Errno.EOPNOTSUPP && e.errno() != Errno.ENOSYS) {
                throw e;
            }
            raw.rename(RawFiles.AT_FDCWD, target, candidate, 0);
        }
    }
}
