package io.caesura.cli;

import io.caesura.flow.JobView;
import io.caesura.flow.StoredJob;
import io.caesura.model.ByteSize;
import io.caesura.model.JobFacts;
import io.caesura.model.Manifest;
import io.caesura.scheduler.ListedJob;
import io.caesura.store.Json;
import java.io.PrintStream;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Jobs as text: a table and pages for people, JSON for programs. */
final class JobText {

    private static final String NONE = "-";

    private final PrintStream out;
    private final Instant now;

    JobText(PrintStream out, Instant now) {
        this.out = out;
        this.now = now;
    }

    void list(List<JobView> views) {
        if (views.isEmpty()) {
            out.println("no jobs");
            return;
        }
        TextTable table = new TextTable(
                "JOB", "USER", "PARTITION", "STATE", "NODE", "RESTARTS", "CONTEXTS", "AGE", "SIZE", "POLICY");
        for (JobView view : views) {
            ListedJob job = view.job();
            Optional<StoredJob.Context> newest = newest(view);
            table.add(
                    job.id(),
                    job.user(),
                    job.partition(),
                    job.word(),
                    job.nodes().isEmpty() ? NONE : job.nodes(),
                    job.state().restartCount(),
                    view.stored().map(s -> String.valueOf(s.contexts().size())).orElse(NONE),
                    newest.flatMap(StoredJob.Context::written).map(this::age).orElse(NONE),
                    newest.flatMap(StoredJob.Context::manifest)
                            .map(m -> ByteSize.format(m.cost().totalBytes()))
                            .orElse(NONE),
                    view.stored().flatMap(StoredJob::facts).map(JobFacts::spec).orElse(NONE));
        }
        table.print(out);
    }

    void show(JobView view) {
        ListedJob job = view.job();
        out.println("job " + job.id());
        line("user", job.user());
        line("partition", job.partition());
        line("state", job.word());
        line("node", job.nodes().isEmpty() ? NONE : job.nodes());
        line("restarts", String.valueOf(job.state().restartCount()));
        job.submitted().ifPresent(time -> line("submitted", time.toString()));
        job.started().ifPresent(time -> line("started", time.toString()));
        job.state().limit().ifPresent(time -> line("time is up", time.toString()));
        job.state().preempted().ifPresent(time -> line("preempted", time.toString()));
        view.hidden().ifPresent(why -> line("contexts", "cannot be seen: " + why));
        if (view.stored().isEmpty()) {
            if (view.hidden().isEmpty()) {
                line("contexts", "none: the job has no folder in the store");
            }
            return;
        }
        StoredJob stored = view.stored().get();
        line("folder", stored.path().toString());
        stored.facts().ifPresent(facts -> {
            line("policy", facts.spec());
            line("command", String.join(" ", facts.command()));
            line("started in", facts.workingFolder());
        });
        stored.run().ifPresent(run -> line("last run", "run " + run.restartCount() + " on " + run.host()));
        contexts(stored.contexts());
    }

    private void line(String name, String value) {
        out.println("  " + name + " ".repeat(12 - name.length()) + value);
    }

    private void contexts(List<StoredJob.Context> contexts) {
        if (contexts.isEmpty()) {
            line("contexts", "none yet");
            return;
        }
        TextTable table = new TextTable("CONTEXT", "WRITTEN", "REASON", "RUN", "SIZE", "PAUSE", "PROCESSES", "THREADS");
        for (StoredJob.Context context : contexts) {
            String name = String.valueOf(context.path().getFileName());
            if (context.manifest().isEmpty()) {
                table.add(name, "damaged", NONE, NONE, NONE, NONE, NONE, context.damage());
                continue;
            }
            Manifest manifest = context.manifest().get();
            table.add(
                    name,
                    manifest.written(),
                    manifest.reason(),
                    manifest.run().restartCount() + " on " + manifest.run().host(),
                    ByteSize.format(manifest.cost().totalBytes()),
                    "%.1f ms".formatted(manifest.cost().pauseMs()),
                    manifest.pids().size(),
                    manifest.cost().threads());
        }
        table.print(out);
    }

    void listAsJson(List<JobView> views) {
        out.print(Json.write(views.stream().map(JobText::summary).toList()));
    }

    void showAsJson(List<JobView> views) {
        out.print(Json.write(views.stream().map(JobText::all).toList()));
    }

    private static Map<String, @Nullable Object> summary(JobView view) {
        ListedJob job = view.job();
        Map<String, @Nullable Object> map = new LinkedHashMap<>();
        map.put("job", job.id());
        map.put("folderName", job.folder());
        map.put("user", job.user());
        map.put("partition", job.partition());
        map.put("state", job.word());
        map.put("node", job.nodes());
        map.put("restarts", job.state().restartCount());
        map.put("contexts", view.stored().map(s -> s.contexts().size()).orElse(null));
        Optional<StoredJob.Context> newest = newest(view);
        map.put(
                "newestWritten",
                newest.flatMap(StoredJob.Context::written)
                        .map(Instant::toString)
                        .orElse(null));
        map.put(
                "newestBytes",
                newest.flatMap(StoredJob.Context::manifest)
                        .map(m -> m.cost().totalBytes())
                        .orElse(null));
        map.put(
                "policy",
                view.stored().flatMap(StoredJob::facts).map(JobFacts::spec).orElse(null));
        map.put("hidden", view.hidden().orElse(null));
        return map;
    }

    private static Map<String, @Nullable Object> all(JobView view) {
        Map<String, @Nullable Object> map = summary(view);
        ListedJob job = view.job();
        map.put("submitted", job.submitted().map(Instant::toString).orElse(null));
        map.put("started", job.started().map(Instant::toString).orElse(null));
        map.put("limit", job.state().limit().map(Instant::toString).orElse(null));
        map.put("preempted", job.state().preempted().map(Instant::toString).orElse(null));
        map.put("folder", view.stored().map(s -> s.path().toString()).orElse(null));
        map.put("facts", view.stored().flatMap(StoredJob::facts).orElse(null));
        map.put("run", view.stored().flatMap(StoredJob::run).orElse(null));
        // In place of their number.
        map.put(
                "contexts",
                view.stored()
                        .map(s -> s.contexts().stream().map(JobText::context).toList())
                        .orElse(null));
        return map;
    }

    private static Map<String, @Nullable Object> context(StoredJob.Context context) {
        Map<String, @Nullable Object> map = new LinkedHashMap<>();
        map.put("sequence", context.sequence());
        map.put("path", context.path().toString());
        map.put("manifest", context.manifest().orElse(null));
        map.put("damage", context.damage().isEmpty() ? null : context.damage());
        return map;
    }

    private static Optional<StoredJob.Context> newest(JobView view) {
        return view.stored().flatMap(StoredJob::newest);
    }

    /** In the two largest units, such as 3m12s. */
    private String age(Instant then) {
        long seconds = Math.max(Duration.between(then, now).toSeconds(), 0);
        if (seconds < 60) {
            return seconds + "s";
        }
        if (seconds < 3600) {
            return seconds / 60 + "m" + seconds % 60 + "s";
        }
        return seconds < 86400
                ? seconds / 3600 + "h" + seconds % 3600 / 60 + "m"
                : seconds / 86400 + "d" + seconds % 86400 / 3600 + "h";
    }
}
