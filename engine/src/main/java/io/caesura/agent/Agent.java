package io.caesura.agent;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.Host;
import io.caesura.flow.Jobs;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.store.JobFolder;
import io.caesura.store.JobStore;
import io.caesura.store.RawFiles;
import io.caesura.timer.Ticker;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The engine beside a job of the local scheduler. It prepares the job's folder, tells the supervisor to start, checkpoints
 * on the policy's timer, and puts the contexts in order at the end. See docs/architecture.md for the lines it speaks.
 */
public final class Agent {

    private final CaptureEngine engine;
    private final RawFiles raw;
    private final Host host;
    private final Policies policies;
    private final Jobs jobs;
    private final Consumer<String> messages;

    /** @param messages lines for the job's stderr */
    public Agent(
            CaptureEngine engine, RawFiles raw, Host host, Policies policies, Jobs jobs, Consumer<String> messages) {
        this.engine = engine;
        this.raw = raw;
        this.host = host;
        this.policies = policies;
        this.jobs = jobs;
        this.messages = messages;
    }

    /**
     * What the supervisor asks for.
     *
     * @param spec empty only with restart: then the job's own holds on
     * @param restart folder of a job that goes on; empty for a new job
     */
    public record Order(
            Optional<String> spec,
            Optional<String> name,
            Optional<Path> restart,
            List<String> command,
            String workingFolder,
            int supervisorPid) {}

    /**
     * Serves one run of a job until it ends or the supervisor is gone. A refusal is told to the supervisor, not thrown.
     *
     * @return the exit status
     */
    public int serve(Order order, Link link) throws CaesuraException {
        Policy policy;
        JobFolder folder;
        RunIdentity run;
        try {
            Optional<JobFolder> existing = order.restart().isPresent()
                    ? Optional.of(open(order.restart().get()))
                    : Optional.empty();
            policy = policies.resolve(spec(order, existing));
            folder = existing.isPresent() ? existing.get() : create(order, policy);
            run = beginRun(order, folder);
        } catch (CaesuraException e) {
            link.send("error " + e.code().code() + " " + e.getMessage() + " (" + e.remedy() + ")");
            return e.code().code();
        }
        try (folder) {
            link.send("job " + folder.path());
            return follow(link, policy, folder, run);
        }
    }

    private int follow(Link link, Policy policy, JobFolder folder, RunIdentity begun) throws CaesuraException {
        RunIdentity run = begun;
        Optional<Ticker> ticker = Optional.empty();
        JobTicks ticks = new JobTicks(engine, host, policy, folder, messages);
        // A signal ends the JVM with a checkpoint half-written.
        Runtime.getRuntime().addShutdownHook(new Thread(ticks::abort, "cleaner"));
        try {
            Optional<String> line = link.receive();
            while (line.isPresent()) {
                String[] words = line.get().split(" ", 2);
                if (words[0].equals("started") && words.length == 2) {
                    run = recordStart(folder, run, Integer.parseInt(words[1]));
                    if (policy.interval().isEmpty()) {
                        link.send("oneshot");
                        return 0;
                    }
                    RunIdentity started = run;
                    ticker = Optional.of(Ticker.every(
                            policy.interval().get(),
                            () -> ticks.tick(started),
                            failure -> messages.accept("caesura: checkpoint failed: " + failure)));
                } else if (words[0].equals("ended") && words.length == 2) {
                    ticker.ifPresent(Ticker::close);
                    ticker = Optional.empty();
                    recordEnd(policy, folder, run, Integer.parseInt(words[1]));
                    return 0;
                } else {
                    throw new CaesuraException(ErrorCode.EENGINE, "the supervisor said '" + line.get() + "'");
                }
                line = link.receive();
            }
            // The supervisor is gone without a word, and the job with it. Its contexts are what is left of it.
            return 0;
        } finally {
            ticker.ifPresent(Ticker::close);
        }
    }

    /**
     * Puts the contexts of a job in order that had no agent when it ended.
     *
     * @param waitStatus as wait() gives it
     */
    public void finish(Path jobFolder, int waitStatus) throws CaesuraException {
        try (JobFolder folder = open(jobFolder)) {
            JobFacts facts = factsOf(folder);
            Optional<RunIdentity> run = folder.run();
            if (run.isPresent()) {
                recordEnd(policies.resolve(facts.spec()), folder, run.get(), waitStatus);
            }
        }
    }

    private JobFolder create(Order order, Policy policy) throws CaesuraException {
        JobName name = JobName.parse(order.name().orElseGet(() -> defaultName(order)));
        JobFolder folder = jobs.create(policy, name);
        folder.writeFacts(new JobFacts(
                name.value(),
                order.spec().orElse(Policies.DEFAULT),
                policy.asMap(),
                order.command(),
                order.workingFolder(),
                host.user(),
                Instant.now().toString()));
        return folder;
    }

    private String defaultName(Order order) {
        String safe = host.name().replaceAll("[^A-Za-z0-9._+-]", "_");
        return safe + "-" + order.supervisorPid() + "-" + Instant.now().getEpochSecond();
    }

    private JobFolder open(Path path) throws CaesuraException {
        Path absolute = path.toAbsolutePath().normalize();
        Path cluster = absolute.getParent();
        Path root = cluster == null ? null : cluster.getParent();
        if (cluster == null || root == null) {
            throw new CaesuraException(ErrorCode.ENOJOB, path + " is not the folder of a job");
        }
        JobName name = JobName.parse(String.valueOf(absolute.getFileName()));
        return new JobStore(raw, root, String.valueOf(cluster.getFileName()))
                .open(name)
                .orElseThrow(() -> new CaesuraException(ErrorCode.ENOJOB, "no job in " + path));
    }

    private String spec(Order order, Optional<JobFolder> existing) throws CaesuraException {
        if (order.spec().isEmpty() && existing.isPresent()) {
            return factsOf(existing.get()).spec();
        }
        return order.spec().orElse(Policies.DEFAULT);
    }

    private static JobFacts factsOf(JobFolder folder) throws CaesuraException {
        return folder.facts()
                .orElseThrow(() -> new CaesuraException(ErrorCode.ENOJOB, folder.path() + " has no job.json"));
    }

    /** From here on, runs before this one may no longer write contexts. */
    private RunIdentity beginRun(Order order, JobFolder folder) throws CaesuraException {
        int count = folder.run().map(former -> former.restartCount() + 1).orElse(0);
        RunIdentity run = new RunIdentity(count, host.name(), host.bootId(), 0, 0, order.supervisorPid(), null);
        folder.writeRun(run);
        return run;
    }

    private RunIdentity recordStart(JobFolder folder, RunIdentity run, int initPid) throws CaesuraException {
        long startTicks = host.startTicks(initPid).orElse(0L);
        RunIdentity started = run.withInit(initPid, startTicks);
        folder.requireNewest(run);
        folder.writeRun(started);
        return started;
    }

    private void recordEnd(Policy policy, JobFolder folder, RunIdentity run, int waitStatus) throws CaesuraException {
        try (JobFolder.Lock lock = folder.lock()) {
            folder.requireNewest(run);
            if (!policy.onExit().removes(waitStatus)) {
                folder.writeRun(run.withEnd(waitStatus));
                return;
            }
        }
        jobs.store(policy).remove(folder.job());
    }
}
