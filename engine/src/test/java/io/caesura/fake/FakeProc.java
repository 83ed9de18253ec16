package io.caesura.fake;

import io.caesura.error.CaesuraException;
import io.caesura.flow.Host;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A /proc with one process: the init of a job, with the pid of the test. */
public final class FakeProc {

    public static final long START_TICKS = 4242;

    private FakeProc() {}

    /** This host with such a /proc, and with home as the user's. */
    public static Host host(Path home) throws CaesuraException {
        Host real = Host.current();
        Path proc = home.resolve("proc");
        try {
            Path init = Files.createDirectories(proc.resolve(String.valueOf(real.ownPid())));
            String fields = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 " + START_TICKS + " 20";
            Files.writeString(init.resolve("stat"), real.ownPid() + " (init)" + fields);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return new Host(real.name(), real.bootId(), real.user(), home, real.ownPid(), proc);
    }

    /** The job's init has ended. */
    public static void end(Host host, Path home) throws IOException {
        Files.delete(home.resolve("proc").resolve(String.valueOf(host.ownPid())).resolve("stat"));
    }
}
