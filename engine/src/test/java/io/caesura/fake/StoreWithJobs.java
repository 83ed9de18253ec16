package io.caesura.fake;

import io.caesura.error.CaesuraException;
import io.caesura.flow.Checkpoint;
import io.caesura.flow.Host;
import io.caesura.flow.JobCheckpoint;
import io.caesura.flow.Jobs;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.nativelib.NativeFiles;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.scheduler.JobState;
import io.caesura.store.JobFolder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;

/** The default store of a user at home, with jobs of the cluster "lab" as their engines make them, and their queue. */
public final class StoreWithJobs {

    public final FakeQueue queue = new FakeQueue();
    public final NativeFiles raw = new NativeFiles();
    public final FakeCaptureEngine engine = new FakeCaptureEngine(raw);
    public final Host host;
    public final Policies policies;
    public final Jobs jobs;
    private final int userId;

    public StoreWithJobs(Path home) throws CaesuraException {
        host = FakeProc.host(home);
        policies = new Policies(List.of(home.resolve("policies")));
        jobs = new Jobs(raw, policies, home);
        try {
            userId = (Integer) Files.getAttribute(home, "unix:uid");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A job that runs on a node, with or without a folder of its own. */
    public void running(String id, String node, boolean isProtected) throws CaesuraException {
        queue.add(id, id, JobState.Base.RUNNING, node, userId);
        if (isProtected) {
            makeFolder("lab", id, "30m,on-cancel=delete");
        }
    }

    public void pending(String id) {
        queue.add(id, id, JobState.Base.PENDING, "", userId);
    }

    public void makeFolder(String cluster, String id, String spec) throws CaesuraException {
        Policy policy = policies.resolve(spec);
        try (JobFolder folder = jobs.create(policy, cluster, JobName.parse(id))) {
            String now = Instant.now().toString();
            folder.writeFacts(
                    new JobFacts(id, spec, policy.asMap(), List.of("./sim", "-n"), "/work", host.user(), now, "k"));
            long ticks = host.startTicks(host.ownPid()).orElseThrow();
            folder.writeRun(new RunIdentity(0, host.name(), host.bootId(), host.ownPid(), ticks, host.ownPid(), null));
        }
    }

    public JobFolder open(String cluster, String id) throws CaesuraException {
        Policy policy = policies.resolve(Policies.DEFAULT);
        return jobs.store(policy, cluster).open(JobName.parse(id)).orElseThrow();
    }

    /** Writes a context as the job's engine does. */
    public Path checkpoint(String id) throws CaesuraException {
        Checkpoint steps = new Checkpoint(engine, (level, line) -> {}, (done, total) -> {});
        try (JobFolder folder = open("lab", id)) {
            RunIdentity run = folder.run().orElseThrow();
            JobCheckpoint.Done done = new JobCheckpoint(steps, policies.resolve("default"), host)
                    .run(folder, run, "request", 0, target -> {});
            return folder.contextPath(done.sequence());
        }
    }
}
