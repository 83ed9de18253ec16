package io.caesura.model;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One run of a job: what run.json says. A later run has a higher restart count, whatever node it is on.
 *
 * @param restartCount 0 for the first run
 * @param bootId of the node's kernel, so that a pid from before a reboot is not believed
 * @param initPid pid of the job's init as the engine sees it; 0 until it is known
 * @param initStartTicks start time of that init in clock ticks since boot, so that a reused pid is not believed
 * @param supervisorPid pid of cr_run or cr-restore
 * @param ended how the run ended, as wait() gives it; null while nobody has seen its end
 */
public record RunIdentity(
        int restartCount,
        String host,
        String bootId,
        int initPid,
        long initStartTicks,
        int supervisorPid,
        @Nullable Integer ended) {

    public RunIdentity {
        Objects.requireNonNull(host, "host");
        Objects.requireNonNull(bootId, "bootId");
    }

    /** The same run with its init known. */
    public RunIdentity withInit(int pid, long startTicks) {
        return new RunIdentity(restartCount, host, bootId, pid, startTicks, supervisorPid, ended);
    }

    /** The same run after its end. */
    public RunIdentity withEnd(int waitStatus) {
        return new RunIdentity(restartCount, host, bootId, initPid, initStartTicks, supervisorPid, waitStatus);
    }

    /** Whether other is this run too, whatever is known of its init and its end. */
    public boolean isSameRunAs(RunIdentity other) {
        return restartCount == other.restartCount
                && host.equals(other.host)
                && bootId.equals(other.bootId)
                && supervisorPid == other.supervisorPid;
    }
}
