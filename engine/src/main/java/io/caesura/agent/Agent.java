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
    private final Host host;
    private final Policies policies;
    private final Jobs jobs;
    private final Consumer<String> messages;

    /** @param messages lines for the job's stderr */
    public Agent(CaptureEngine engine, Host host, Policies policies, Jobs jobs, Consumer<String> messages) {
        this.engine = engine;
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
        JobRun run;
        try {
            Optional<JobFolder> existing = order.restart().isPresent()
                    ? Optional.of(jobs.open(order.restart().get()))
                    : Optional.empty();
            policy = policies.resolve(spec(order, existing));
            folder = existing.isPresent() ? existing.get() : create(order, policy);
            run = JobRun.begin(folder, host, nextCount(folder), order.supervisorPid());
        } catch (CaesuraException e) {
            link.send("error " + e.code().code() + " " + e.getMessage() + " (" + e.remedy() + ")");
            return e.code().code();
        }
        try (folder) {
            link.send("job " + folder.path());
            return follow(link, policy, run);
        }
    }

    private int follow(Link link, Policy policy, JobRun run) throws CaesuraException {
        Optional<Ticker> ticker = Optional.empty();
        JobCheckpoints checkpoints = new JobCheckpoints(engine, host, policy, run, messages);
        // A signal ends the JVM with a checkpoint half-written.
        Runtime.getRuntime().addShutdownHook(new Thread(checkpoints::abort, "cleaner"));
        try {
            Optional<String> line = link.receive();
            while (line.isPresent()) {
                String[] words = line.get().split(" ", 2);
                if (words[0].equals("started") && words.length == 2) {
                    run.started(Integer.parseInt(words[1]));
                    if (policy.interval().isEmpty()) {
                        link.send("oneshot");
                        return 0;
                    }
                    ticker = Optional.of(Ticker.every(
                            policy.interval().get(),
                            checkpoints::tick,
                            failure -> messages.accept("caesura: checkpoint failed: " + failure)));
                } else if (words[0].equals("ended") && words.length == 2) {
                    ticker.ifPresent(Ticker::close);
                    ticker = Optional.empty();
                    jobs.finish(policy, run.folder(), run.identity(), Integer.parseInt(words[1]));
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
        try (JobFolder folder = jobs.open(jobFolder)) {
            Optional<RunIdentity> run = folder.run();
            if (run.isPresent()) {
                jobs.finish(policies.recorded(factsOf(folder).policy()), folder, run.get(), waitStatus);
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
                Instant.now().toString(),
                null));
        return folder;
    }

    private String defaultName(Order order) {
        String safe = host.name().replaceAll("[^A-Za-z0-9._+-]", "_");
        return safe + "-" + order.supervisorPid() + "-" + Instant.now().getEpochSecond();
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

    private static int nextCount(JobFolder folder) throws CaesuraException {
        return folder.run().map(former -> former.restartCount() + 1).orElse(0);
    }
}
