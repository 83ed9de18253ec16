package io.caesura.agent;

import io.caesura.error.CaesuraException;
import io.caesura.flow.Host;
import io.caesura.model.RunIdentity;
import io.caesura.store.JobFolder;
import java.util.Optional;

/** One run of a job as its folder records it: who runs it, since when, and how it ended. */
final class JobRun {

    private final JobFolder folder;
    private final Host host;
    private volatile RunIdentity identity;

    private JobRun(JobFolder folder, Host host, RunIdentity identity) {
        this.folder = folder;
        this.host = host;
        this.identity = identity;
    }

    /**
     * Begins a run: from here on, runs before it may no longer write contexts. A run that has begun already is gone on with.
     *
     * @throws CaesuraException EFENCED if a later run has begun
     */
    static JobRun begin(JobFolder folder, Host host, int restarts, int supervisorPid) throws CaesuraException {
        RunIdentity run = new RunIdentity(restarts, host.name(), host.bootId(), 0, 0, supervisorPid, null);
        folder.requireNewest(run);
        Optional<RunIdentity> known = folder.run().filter(run::isSameRunAs);
        if (known.isEmpty()) {
            folder.writeRun(run);
        }
        return new JobRun(folder, host, known.orElse(run));
    }

    JobFolder folder() {
        return folder;
    }

    RunIdentity identity() {
        return identity;
    }

    void started(int initPid) throws CaesuraException {
        RunIdentity started =
                identity.withInit(initPid, host.startTicks(initPid).orElse(0L));
        folder.requireNewest(identity);
        folder.writeRun(started);
        identity = started;
    }

    /** Records how the run ended; the contexts stay. */
    void ended(int waitStatus) throws CaesuraException {
        folder.requireNewest(identity);
        folder.writeRun(identity.withEnd(waitStatus));
    }
}
