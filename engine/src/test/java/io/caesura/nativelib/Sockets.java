package io.caesura.nativelib;

import com.sun.jna.Library;
import com.sun.jna.Native;

/** What launcher and supervisor hand down to the engine: pipes and connected sockets. */
public final class Sockets {

    private interface Calls extends Library {
        Calls INSTANCE = Native.load("c", Calls.class);

        int socketpair(int domain, int type, int protocol, int[] ends);

        int pipe(int[] ends);
    }

    private Sockets() {}

    public static int[] pair() {
        int[] ends = new int[2];
        return check(Calls.INSTANCE.socketpair(1, 1, 0, ends), ends);
    }

    /** The end to read, then the end to write. */
    public static int[] pipe() {
        int[] ends = new int[2];
        return check(Calls.INSTANCE.pipe(ends), ends);
    }

    private static int[] check(int result, int[] ends) {
        if (result != 0) {
            throw new IllegalStateException("errno " + Native.getLastError());
        }
        return ends;
    }
}
