package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * This host as the kernel tells it.
 *
 * @param home of the user by the passwd database, whatever HOME says
 * @param proc where proc is mounted
 */
public record Host(String name, String bootId, String user, Path home, int ownPid, Path proc) {

    private static final int START_TIME_AFTER_NAME = 19;

    /** @throws CaesuraException EENGINE if /proc is not as it should be */
    public static Host current() throws CaesuraException {
        Path proc = Path.of("/proc");
        return new Host(
                line(proc.resolve("sys/kernel/hostname")),
                line(proc.resolve("sys/kernel/random/boot_id")),
                System.getProperty("user.name"),
                Path.of(System.getProperty("user.home")),
                Math.toIntExact(ProcessHandle.current().pid()),
                proc);
    }

    /** Start time of a process in clock ticks since boot; empty if there is none, or only what waits to be reaped. */
    public Optional<Long> startTicks(int pid) {
        try {
            String stat = Files.readString(proc.resolve(pid + "/stat"), StandardCharsets.ISO_8859_1);
            return parseStartTicks(stat);
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    /** Field 22 of a line of /proc/PID/stat; the name in field 2 may itself hold blanks and brackets. */
    static Optional<Long> parseStartTicks(String stat) {
        List<String> fields =
                List.of(stat.substring(stat.lastIndexOf(')') + 1).strip().split(" ", -1));
        boolean ended = fields.get(0).equals("Z") || fields.get(0).equals("X");
        return fields.size() > START_TIME_AFTER_NAME && !ended
                ? Optional.of(Long.parseLong(fields.get(START_TIME_AFTER_NAME)))
                : Optional.empty();
    }

    /** Whether the run's init is a process of this host, and the same one. */
    public boolean isAlive(RunIdentity run) {
        return run.ended() == null
                && run.initPid() > 0
                && run.bootId().equals(bootId)
                && startTicks(run.initPid())
                        .filter(ticks -> ticks == run.initStartTicks())
                        .isPresent();
    }

    /** @throws CaesuraException ENOJOB if the run is not alive here */
    public void requireAlive(RunIdentity run, JobName job) throws CaesuraException {
        if (!isAlive(run)) {
            String state = run.ended() != null
                    ? "has ended"
                    : run.bootId().equals(bootId) ? "no longer runs" : "runs on " + run.host() + ", not here";
            throw new CaesuraException(
                    ErrorCode.ENOJOB, "job '" + job + "' " + state, "list the jobs of this host with cr_info --jobs");
        }
    }

    /** @throws CaesuraException EBUSY if the run is alive here: a second copy would spoil what both write */
    public void requireDead(RunIdentity run, JobName job) throws CaesuraException {
        if (isAlive(run)) {
            throw new CaesuraException(
                    ErrorCode.EBUSY,
                    "job '" + job + "' is running here, under process " + run.supervisorPid(),
                    "end that first: kill " + run.supervisorPid());
        }
    }

    private static String line(Path file) throws CaesuraException {
        try {
            return Files.readString(file).strip();
        } catch (IOException e) {
            throw new CaesuraException(ErrorCode.EENGINE, "cannot read " + file);
        }
    }
}
