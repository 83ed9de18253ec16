package io.caesura.cli;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.flow.Host;
import io.caesura.flow.Jobs;
import io.caesura.policy.Policies;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.Scheduler;
import io.caesura.store.RawFiles;
import java.util.List;

/** What the commands work with. Loaded when asked for: a plain cr_restart needs no native library, and starts faster so. */
public interface Services {

    /** @throws CaesuraException EENGINE or EVERSION if the library does not load */
    CaptureEngine engine() throws CaesuraException;

    RawFiles files();

    Host host() throws CaesuraException;

    Policies policies() throws CaesuraException;

    /** @throws CaesuraException EENGINE if there is no batch system of that name */
    Scheduler scheduler(String name) throws CaesuraException;

    /** The batch systems that this host has commands and a configuration of. */
    List<JobQueue> batchQueues();

    /** The jobs of any user, as far as they can be read. */
    Jobs jobsOf(String user) throws CaesuraException;

    /** The jobs of this user. */
    default Jobs jobs() throws CaesuraException {
        return new Jobs(files(), policies(), host().home());
    }
}
