package io.caesura.agent;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.ContextTrust;
import io.caesura.flow.FindContext;
import io.caesura.flow.Host;
import io.caesura.flow.Jobs;
import io.caesura.flow.Relocation;
import io.caesura.flow.RestartPlan;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.policy.OnRestartFailure;
import io.caesura.policy.Policy;
import io.caesura.scheduler.Scheduler;
import io.caesura.store.JobFolder;
import io.caesura.store.JobStore;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** How a run of a batch job begins: the job's folder, and the context that it goes on from. */
final class BatchStart {

    private final CaptureEngine engine;
    private final Host host;
    private final Jobs jobs;
    private final Scheduler scheduler;
    private final Consumer<String> messages;

    BatchStart(CaptureEngine engine, Host host, Jobs jobs, Scheduler scheduler, Consumer<String> messages) {
        this.engine = engine;
        this.host = host;
        this.jobs = jobs;
        this.scheduler = scheduler;
        this.messages = messages;
    }

    /** The job's folder from a run before, in whatever store it is; empty if there is none. */
    Optional<JobFolder> find(BatchAgent.Order order) throws CaesuraException {
        JobName name = JobName.parse(order.job().name());
        for (JobStore store : jobs.stores(order.job().cluster())) {
            Optional<JobFolder> folder = store.open(name);
            if (folder.isPresent() && isOf(order, folder.get())) {
                return folder;
            }
            folder.ifPresent(JobFolder::close);
        }
        return Optional.empty();
    }

    private static boolean isOf(BatchAgent.Order order, JobFolder folder) throws CaesuraException {
        return folder.facts().filter(facts -> order.key().equals(facts.key())).isPresent();
    }

    /** Makes the job's folder. One of another job that had the same id is set aside, not used. */
    JobFolder create(BatchAgent.Order order, Policy policy) throws CaesuraException {
        JobName name = JobName.parse(order.job().name());
        JobStore store = jobs.store(policy, order.job().cluster());
        Optional<JobFolder> former = store.open(name);
        if (former.isPresent()) {
            Optional<JobFacts> facts = former.get().facts();
            former.get().close();
            String since = facts.map(JobFacts::created).orElse("unknown").replaceAll("[^A-Za-z0-9.-]", "_");
            store.rename(name, JobName.parse(name + ".until-" + Instant.now().getEpochSecond() + "-from-" + since));
        }
        JobFolder folder = jobs.create(policy, order.job().cluster(), name);
        folder.writeFacts(new JobFacts(
                name.value(),
                order.spec(),
                policy.asMap(),
                order.command(),
                order.workingFolder(),
                host.user(),
                Instant.now().toString(),
                order.key()));
        return folder;
    }

    /**
     * Has the supervisor restart the job from its newest context, and from an older one if that cannot be done.
     *
     * @return what the job's owner should know, to be told when the job runs; empty if this run is over
     */
    Optional<List<String>> restart(BatchAgent.Order order, Policy policy, JobRun run, Link link)
            throws CaesuraException {
        List<String> notes = new ArrayList<>();
        JobFolder folder = run.folder();
        folder.note().ifPresent(notes::add);
        if (notes.isEmpty()) {
            folder.unfinished()
                    .ifPresent(name -> notes.add("caesura: the checkpoint " + name + " was not complete when the run"
                            + " before ended; the job goes on from the last good one"));
        }
        FindContext contexts = new FindContext(engine, note -> notes.add("caesura: " + note));
        int below = Integer.MAX_VALUE;
        while (true) {
            FindContext.Found found;
            try {
                found = contexts.newestGood(folder, below);
            } catch (CaesuraException e) {
                notes.add("caesura: job " + order.job().id() + " cannot go on: " + e.getMessage());
                return withoutContext(order, policy, run, link, notes);
            }
            link.send("become " + words(plan(order, folder, found)));
            Optional<String> answer = link.receive();
            if (answer.isEmpty()) {
                return Optional.empty();
            }
            if (!answer.get().startsWith("failed ")) {
                link.giveBack(answer.get());
                link.send("job " + folder.path());
                return Optional.of(notes);
            }
            String why = answer.get().replaceFirst("^failed \\d+ ", "");
            notes.add("caesura: no restart from " + folder.contextPath(found.sequence()) + ": " + why);
            below = found.sequence();
        }
    }

    /** No context is left to try. */
    private Optional<List<String>> withoutContext(
            BatchAgent.Order order, Policy policy, JobRun run, Link link, List<String> notes) throws CaesuraException {
        if (policy.onRestartFailure() == OnRestartFailure.SCRATCH) {
            notes.add("caesura: job " + order.job().id() + " runs from the start, as its policy says");
            List<String> words = new ArrayList<>(order.command());
            words.set(0, "cr_run");
            link.send("become " + words(words));
            if (link.receive().filter("ready"::equals).isEmpty()) {
                return Optional.empty();
            }
            link.send("job " + run.folder().path());
            return Optional.of(notes);
        }
        notes.add("caesura: the job is held with its contexts in "
                + run.folder().path() + "; when the cause is gone: cr_job release "
                + order.job().id());
        // Before, as the scheduler that is asked ends this run.
        notes.forEach(messages);
        int status = 0;
        try {
            scheduler.hold(order.job().id());
        } catch (CaesuraException e) {
            status = ErrorCode.ENOJOB.code();
            messages.accept("caesura: and cannot be held: " + e.getMessage());
        }
        link.send("end " + status);
        return Optional.empty();
    }

    private static List<String> plan(BatchAgent.Order order, JobFolder folder, FindContext.Found found)
            throws CaesuraException {
        ContextTrust trust = ContextTrust.ofThisUser();
        List<String> files = new ArrayList<>();
        for (Path file : found.files()) {
            trust.requireFile(file);
            files.add(file.toString());
        }
        return new RestartPlan(
                        files,
                        -1,
                        "auto",
                        Map.of(),
                        0,
                        relocations(order, folder),
                        Map.of(),
                        Optional.of(folder.contextPath(found.sequence())
                                .resolve("aside")
                                .toString()),
                        Optional.empty(),
                        false,
                        false,
                        false)
                .arguments();
    }

    /** A scheduler puts the job's script in another place in each run, on another node at least. */
    private static List<Relocation> relocations(BatchAgent.Order order, JobFolder folder) throws CaesuraException {
        Optional<JobFacts> facts = folder.facts();
        if (facts.isEmpty() || facts.get().command().isEmpty()) {
            return List.of();
        }
        String before = facts.get().command().get(0);
        String now = order.command().get(0);
        return before.equals(now) || !before.startsWith("/") || !now.startsWith("/")
                ? List.of()
                : List.of(new Relocation(before, now));
    }

    /** One line of words: what would end a word or the line is written as %XX of its UTF-8 bytes. */
    static String words(List<String> words) {
        return words.stream().map(BatchStart::encode).collect(Collectors.joining(" "));
    }

    private static String encode(String word) {
        if (word.isEmpty()) {
            return "%00"; // ends the word before its first character
        }
        StringBuilder text = new StringBuilder();
        for (byte b : word.getBytes(StandardCharsets.UTF_8)) {
            int value = b & 0xff;
            if (value <= ' ' || value == '%' || value == 0x7f) {
                text.append("%%%02X".formatted(value));
            } else {
                text.append((char) value);
            }
        }
        return new String(text.toString().getBytes(StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8);
    }
}
