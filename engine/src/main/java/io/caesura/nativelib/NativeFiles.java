package io.caesura.nativelib;

import com.sun.jna.Memory;
import com.sun.jna.Native;
import io.caesura.store.Errno;
import io.caesura.store.FileFacts;
import io.caesura.store.OsException;
import io.caesura.store.RawFiles;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** RawFiles by libc. */
public final class NativeFiles implements RawFiles {

    private static final int EINTR = 4;
    private static final int EIO = 5;
    private static final int EAGAIN = 11;
    private static final int READ_STEP_BYTES = 1 << 16;

    private final LibC libc = LibC.INSTANCE;

    @Override
    public int openAt(int folder, String path, int flags, int mode) throws OsException {
        int descriptor;
        do {
            descriptor = libc.openat(folder, path, flags | LibC.O_CLOEXEC, mode);
        } while (descriptor < 0 && Native.getLastError() == EINTR);
        if (descriptor < 0) {
            throw failure("cannot open " + shown(folder, path));
        }
        return descriptor;
    }

    @Override
    public void close(int descriptor) {
        libc.close(descriptor);
    }

    @Override
    public void makeBlocking(int descriptor) throws OsException {
        int flags = libc.fcntl(descriptor, LibC.F_GETFL, 0);
        if (flags < 0 || libc.fcntl(descriptor, LibC.F_SETFL, flags & ~O_NONBLOCK) < 0) {
            throw failure("cannot change the flags of " + shown(descriptor));
        }
    }

    @Override
    public boolean isWritable(int descriptor) throws OsException {
        int flags = libc.fcntl(descriptor, LibC.F_GETFL, 0);
        if (flags < 0) {
            throw failure("cannot look at " + shown(descriptor));
        }
        return (flags & LibC.O_ACCMODE) != O_RDONLY;
    }

    @Override
    public void write(int descriptor, byte[] data) throws OsException {
        int done = 0;
        while (done < data.length) {
            byte[] rest = done == 0 ? data : Arrays.copyOfRange(data, done, data.length);
            long count = libc.write(descriptor, rest, rest.length);
            if (count < 0 && Native.getLastError() != EINTR) {
                throw failure("cannot write " + shown(descriptor));
            }
            done += (int) Math.max(count, 0);
        }
    }

    @Override
    public byte[] readSome(int descriptor, int limit) throws OsException {
        byte[] step = new byte[limit];
        while (true) {
            long count = libc.read(descriptor, step, step.length);
            if (count >= 0) {
                return Arrays.copyOf(step, (int) count);
            }
            if (Native.getLastError() != EINTR) {
                throw failure("cannot read " + shown(descriptor));
            }
        }
    }

    @Override
    public byte[] read(int descriptor, int limit) throws OsException {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        byte[] step = readSome(descriptor, READ_STEP_BYTES);
        while (step.length > 0) {
            data.writeBytes(step);
            if (data.size() > limit) {
                throw new OsException(EIO, "cannot read " + shown(descriptor), "larger than " + limit + " bytes");
            }
            step = readSome(descriptor, READ_STEP_BYTES);
        }
        return data.toByteArray();
    }

    @Override
    public void fsync(int descriptor) throws OsException {
        if (libc.fsync(descriptor) < 0) {
            throw failure("cannot sync " + shown(descriptor));
        }
    }

    @Override
    public boolean tryLock(int descriptor) throws OsException {
        while (libc.flock(descriptor, LibC.LOCK_EX | LibC.LOCK_NB) < 0) {
            int errno = Native.getLastError();
            if (errno == EAGAIN) {
                return false;
            }
            if (errno != EINTR) {
                throw failure("cannot lock " + shown(descriptor));
            }
        }
        return true;
    }

    @Override
    public FileFacts stat(int descriptor) throws OsException {
        Memory facts = new Memory(LibC.STATX_BYTES);
        if (libc.statx(descriptor, "", LibC.AT_EMPTY_PATH, LibC.STATX_BASIC_STATS, facts) < 0) {
            throw failure("cannot look at " + shown(descriptor));
        }
        return decode(facts);
    }

    @Override
    public Optional<FileFacts> stat(int folder, String path) throws OsException {
        Memory facts = new Memory(LibC.STATX_BYTES);
        if (libc.statx(folder, path, LibC.AT_SYMLINK_NOFOLLOW, LibC.STATX_BASIC_STATS, facts) < 0) {
            if (Native.getLastError() == Errno.ENOENT) {
                return Optional.empty();
            }
            throw failure("cannot look at " + shown(folder, path));
        }
        return Optional.of(decode(facts));
    }

    /** struct statx has the same layout on every architecture: see statx(2). */
    private static FileFacts decode(Memory facts) {
        int links = facts.getInt(0x10);
        int uid = facts.getInt(0x14);
        int mode = facts.getShort(0x1c) & 0xffff;
        long inode = facts.getLong(0x20);
        long size = facts.getLong(0x28);
        long device = ((long) facts.getInt(0x88) << 32) | (facts.getInt(0x8c) & 0xffffffffL);
        return new FileFacts(mode, uid, size, device, inode, links);
    }

    @Override
    public void rename(int folder, String from, String to, int flags) throws OsException {
        if (libc.renameat2(folder, from, folder, to, flags) < 0) {
            throw failure("cannot rename " + shown(folder, from) + " to " + to);
        }
    }

    @Override
    public void link(int folder, String from, String to) throws OsException {
        if (libc.linkat(folder, from, folder, to, 0) < 0) {
            throw failure("cannot link " + shown(folder, from) + " to " + to);
        }
    }

    @Override
    public void unlink(int folder, String path) throws OsException {
        if (libc.unlinkat(folder, path, 0) < 0) {
            throw failure("cannot remove " + shown(folder, path));
        }
    }

    @Override
    public void removeFolder(int folder, String path) throws OsException {
        if (libc.unlinkat(folder, path, LibC.AT_REMOVEDIR) < 0) {
            throw failure("cannot remove folder " + shown(folder, path));
        }
    }

    @Override
    public void makeFolder(int folder, String path, int mode) throws OsException {
        if (libc.mkdirat(folder, path, mode) < 0) {
            throw failure("cannot make folder " + shown(folder, path));
        }
    }

    @Override
    public List<String> list(int folder) throws OsException {
        List<String> names = new ArrayList<>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(Path.of("/proc/self/fd/" + folder))) {
            for (Path entry : entries) {
                names.add(String.valueOf(entry.getFileName()));
            }
        } catch (IOException e) {
            throw new OsException(EIO, "cannot list " + shown(folder), String.valueOf(e.getMessage()));
        }
        return names;
    }

    @Override
    public boolean isTerminal(int descriptor) {
        return libc.isatty(descriptor) == 1;
    }

    private OsException failure(String what) {
        int errno = Native.getLastError();
        return new OsException(errno, what, libc.strerror(errno));
    }

    private static String shown(int folder, String path) {
        return folder == AT_FDCWD || path.startsWith("/") ? path : shown(folder) + "/" + path;
    }

    /** For messages: the path that a descriptor leads to. */
    private static String shown(int descriptor) {
        try {
            return Files.readSymbolicLink(Path.of("/proc/self/fd/" + descriptor))
                    .toString();
        } catch (IOException e) {
            return "descriptor " + descriptor;
        }
    }
}
