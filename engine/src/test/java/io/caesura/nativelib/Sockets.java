package io.caesura.nativelib;

import com.sun.jna.Library;
import com.sun.jna.Native;

/** A pair of connected sockets, as the supervisor makes one for its agent. */
public final class Sockets {

    private interface SocketCalls extends Library {
        SocketCalls INSTANCE = Native.load("c", SocketCalls.class);

        int socketpair(int domain, int type, int protocol, int[] ends);
    }

    private Sockets() {}

    public static int[] pair() {
        int[] ends = new int[2];
        if (SocketCalls.INSTANCE.socketpair(1, 1, 0, ends) != 0) {
            throw new IllegalStateException("socketpair: errno " + Native.getLastError());
        }
        return ends;
    }
}
