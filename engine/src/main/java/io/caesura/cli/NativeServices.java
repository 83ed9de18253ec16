package io.caesura.cli;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.Accounts;
import io.caesura.flow.Host;
import io.caesura.flow.Jobs;
import io.caesura.nativelib.NativeCaptureEngine;
import io.caesura.nativelib.NativeFiles;
import io.caesura.policy.Owner;
import io.caesura.policy.Policies;
import io.caesura.scheduler.BatchJob;
import io.caesura.scheduler.Command;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.PbsScheduler;
import io.caesura.scheduler.Scheduler;
import io.caesura.scheduler.SlurmScheduler;
import io.caesura.store.RawFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The real services. */
final class NativeServices implements Services {

    private final Optional<Path> prefix;

    /** @param prefix the installed tree, where policies are; empty if unknown */
    NativeServices(Optional<Path> prefix) {
        this.prefix = prefix;
    }

    @Override
    public CaptureEngine engine() throws CaesuraException {
        return NativeCaptureEngine.load();
    }

    @Override
    public RawFiles files() {
        return new NativeFiles();
    }

    @Override
    public Host host() throws CaesuraException {
        return Host.current();
    }

    @Override
    public Policies policies() throws CaesuraException {
        Host host = host();
        return Policies.standard(new Owner(host.user(), host.home()), prefix);
    }

    @Override
    public Scheduler scheduler(String name) throws CaesuraException {
        return switch (name) {
            case BatchJob.SLURM -> SlurmScheduler.of(prefix, System.getenv());
            case BatchJob.PBS -> PbsScheduler.of(System.getenv());
            default -> throw new CaesuraException(ErrorCode.EENGINE, "unknown batch system '" + name + "'");
        };
    }

    @Override
    public List<JobQueue> batchQueues() {
        Map<String, String> environment = System.getenv();
        List<JobQueue> queues = new ArrayList<>();
        if (SlurmScheduler.isConfigured(environment)) {
            queues.add(SlurmScheduler.of(prefix, environment));
        }
        if (PbsScheduler.isConfigured(environment)) {
            queues.add(PbsScheduler.of(environment));
        }
        return queues;
    }

    @Override
    public Jobs jobsOf(String user) throws CaesuraException {
        if (user.equals(host().user())) {
            return jobs();
        }
        Path home = new Accounts(new Command(System.getenv(), SlurmScheduler.LIMIT)).home(user);
        return new Jobs(files(), Policies.standard(new Owner(user, home), prefix), home);
    }
}
