package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.model.JobFacts;
import io.caesura.model.Manifest;
import io.caesura.model.RunIdentity;
import io.caesura.store.JobFolder;
import java.nio.file.Path;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What a job's folder in a store holds at a moment.
 *
 * @param contexts newest first
 */
public record StoredJob(Path path, Optional<JobFacts> facts, Optional<RunIdentity> run, List<Context> contexts) {

    /**
     * A complete context.
     *
     * @param damage why its manifest cannot be believed; empty: it can
     */
    public record Context(int sequence, Path path, Optional<Manifest> manifest, String damage) {

        /** Empty if nothing good says it. */
        public Optional<Instant> written() {
            return manifest.flatMap(m -> instant(m.written()));
        }
    }

    public StoredJob {
        contexts = List.copyOf(contexts);
    }

    static StoredJob of(JobFolder folder) throws CaesuraException {
        List<Context> contexts = new ArrayList<>();
        for (int sequence : folder.sequences()) {
            Path path = folder.contextPath(sequence);
            try {
                contexts.add(new Context(sequence, path, Optional.of(folder.manifest(sequence)), ""));
            } catch (CaesuraException e) {
                contexts.add(new Context(sequence, path, Optional.empty(), e.getMessage()));
            }
        }
        return new StoredJob(folder.path(), folder.facts(), folder.run(), contexts);
    }

    /** The newest context that is whole. */
    public Optional<Context> newest() {
        return contexts.stream().filter(c -> c.manifest().isPresent()).findFirst();
    }

    Optional<Instant> created() {
        return facts.flatMap(f -> instant(f.created()));
    }

    private static Optional<Instant> instant(String iso) {
        try {
            return Optional.of(Instant.parse(iso));
        } catch (DateTimeParseException e) {
            return Optional.empty();
        }
    }
}
