package io.caesura.store;

import java.util.List;
import java.util.Optional;

/**
 * The system calls on files that Java lacks or hides behind paths: they work on raw descriptors, which the native library
 * needs, and relative to an open folder, so that nobody can swap a folder on the way. Descriptors are close-on-exec.
 * Every method throws OsException with the errno of the call. Thread-safe.
 */
public interface RawFiles {
    int AT_FDCWD = -100;

    int O_RDONLY = 0;
    int O_WRONLY = 1;
    int O_RDWR = 2;
    int O_CREAT = 0100;
    int O_EXCL = 0200;
    int O_NOCTTY = 0400;
    int O_TRUNC = 01000;
    int O_NONBLOCK = 04000;
    int O_DIRECTORY = 0200000;
    int O_NOFOLLOW = 0400000;

    int RENAME_NOREPLACE = 1;
    int RENAME_EXCHANGE = 2;

    int openAt(int folder, String path, int flags, int mode) throws OsException;

    void close(int descriptor);

    /** Clears O_NONBLOCK, so that writers of the descriptor wait. */
    void makeBlocking(int descriptor) throws OsException;

    /** Whether the descriptor is open for writing. */
    boolean isWritable(int descriptor) throws OsException;

    void write(int descriptor, byte[] data) throws OsException;

    /** Waits for data and reads what there is, at most limit bytes; nothing at the end. */
    byte[] readSome(int descriptor, int limit) throws OsException;

    /** Reads all that is left, at most limit bytes. */
    byte[] read(int descriptor, int limit) throws OsException;

    /** @throws OsException EINVAL if the descriptor is of a kind that has nothing to sync */
    void fsync(int descriptor) throws OsException;

    /** Takes an exclusive flock without waiting; false if another open file holds one. */
    boolean tryLock(int descriptor) throws OsException;

    FileFacts stat(int descriptor) throws OsException;

    /** Empty if there is no such file. Links are not followed. */
    Optional<FileFacts> stat(int folder, String path) throws OsException;

    /** @param flags 0, RENAME_NOREPLACE or RENAME_EXCHANGE */
    void rename(int folder, String from, String to, int flags) throws OsException;

    void link(int folder, String from, String to) throws OsException;

    void unlink(int folder, String path) throws OsException;

    void removeFolder(int folder, String path) throws OsException;

    void makeFolder(int folder, String path, int mode) throws OsException;

    /** Names in an open folder without . and .., in no order. */
    List<String> list(int folder) throws OsException;

    boolean isTerminal(int descriptor);
}
