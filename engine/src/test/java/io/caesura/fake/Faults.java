package io.caesura.fake;

import io.caesura.store.OsException;
import io.caesura.store.RawFiles;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiPredicate;

/** Files that fail on demand, or lose power: from then on nothing is done any more. */
public final class Faults {

    /** What the power failure looks like to the code under test. */
    public static final class PowerFailure extends Error {
        PowerFailure() {
            super("power failure");
        }
    }

    private final RawFiles real;
    private BiPredicate<String, Object[]> failing = (method, arguments) -> false;
    private int errno;
    private int callsUntilPowerFails = Integer.MAX_VALUE;

    /** Calls that change something, in order. */
    public final List<String> changes = new ArrayList<>();

    public Faults(RawFiles real) {
        this.real = real;
    }

    public void fail(int withErrno, BiPredicate<String, Object[]> when) {
        errno = withErrno;
        failing = when;
    }

    public void fail(int withErrno, String method) {
        fail(withErrno, (name, arguments) -> name.equals(method));
    }

    /** The power fails before the n-th change, counted from 0. */
    public void failPowerBefore(int change) {
        callsUntilPowerFails = change;
    }

    public RawFiles files() {
        return (RawFiles) Proxy.newProxyInstance(
                RawFiles.class.getClassLoader(), new Class<?>[] {RawFiles.class}, (proxy, method, arguments) -> {
                    String name = method.getName();
                    boolean changing = isChange(name, arguments);
                    // The kernel closes what a dead process had open.
                    boolean dead = callsUntilPowerFails < 0 && !name.equals("close");
                    if (dead || (changing && callsUntilPowerFails-- == 0)) {
                        callsUntilPowerFails = -1;
                        throw new PowerFailure();
                    }
                    if (failing.test(name, arguments)) {
                        throw new OsException(errno, name, "as the test wants it");
                    }
                    if (changing) {
                        changes.add(name + describe(arguments));
                    }
                    try {
                        return method.invoke(real, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    private static boolean isChange(String method, Object[] arguments) {
        return List.of("write", "fsync", "rename", "link", "unlink", "removeFolder", "makeFolder")
                        .contains(method)
                || (method.equals("openAt") && ((Integer) arguments[2] & RawFiles.O_CREAT) != 0);
    }

    private static String describe(Object[] arguments) {
        StringBuilder text = new StringBuilder();
        for (Object argument : arguments) {
            if (argument instanceof String string) {
                text.append(' ').append(string);
            }
        }
        return text.toString();
    }
}
