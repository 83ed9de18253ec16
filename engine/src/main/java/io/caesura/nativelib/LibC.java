package io.caesura.nativelib;

import com.sun.jna.Library;
import com.sun.jna.Pointer;

/** The calls of libc that Java lacks, with their C names. Each returns -1 and sets errno when it fails. */
@SuppressWarnings("checkstyle:MethodName")
interface LibC extends Library {
    LibC INSTANCE = Jna.loadProcess(LibC.class);

    int AT_SYMLINK_NOFOLLOW = 0x100;
    int AT_REMOVEDIR = 0x200;
    int AT_EMPTY_PATH = 0x1000;
    int STATX_BASIC_STATS = 0x7ff;
    int STATX_BYTES = 256;
    int LOCK_EX = 2;
    int LOCK_NB = 4;
    int F_GETFL = 3;
    int F_SETFL = 4;
    int O_CLOEXEC = 02000000;
    int O_ACCMODE = 3;

    int openat(int folder, String path, int flags, int mode);

    int close(int descriptor);

    long write(int descriptor, byte[] data, long count);

    long read(int descriptor, byte[] data, long count);

    int fsync(int descriptor);

    int flock(int descriptor, int operation);

    int fcntl(int descriptor, int command, long argument);

    int statx(int folder, String path, int flags, int mask, Pointer facts);

    int renameat2(int oldFolder, String oldPath, int newFolder, String newPath, int flags);

    int linkat(int oldFolder, String oldPath, int newFolder, String newPath, int flags);

    int unlinkat(int folder, String path, int flags);

    int mkdirat(int folder, String path, int mode);

    int isatty(int descriptor);

    String strerror(int errno);
}
