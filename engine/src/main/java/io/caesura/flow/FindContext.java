package io.caesura.flow;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.Manifest;
import io.caesura.store.JobFolder;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;

/** Finds the context from which a job goes on: the newest that is good. */
public final class FindContext {

    private final CaptureEngine engine;
    private final Consumer<String> notes;

    /** @param notes told of each damaged context that is passed over */
    public FindContext(CaptureEngine engine, Consumer<String> notes) {
        this.engine = engine;
        this.notes = notes;
    }

    /**
     * A good context.
     *
     * @param files absolute, in the order of the manifest
     */
    public record Found(int sequence, Manifest manifest, List<Path> files) {}

    /**
     * Reads contexts from the newest on until one is good in every checksum.
     *
     * @throws CaesuraException ENOJOB if none is good; EBADARCH if the newest good one is for another architecture
     */
    public Found newestGood(JobFolder job) throws CaesuraException {
        return newestGood(job, Integer.MAX_VALUE);
    }

    /** The same among the contexts that are older than sequence number below. */
    public Found newestGood(JobFolder job, int below) throws CaesuraException {
        List<Integer> sequences =
                job.sequences().stream().filter(s -> s < below).toList();
        for (int sequence : sequences) {
            Path path = job.contextPath(sequence);
            try {
                Manifest manifest = verify(job, sequence);
                List<Path> files = manifest.files().stream()
                        .map(file -> path.resolve(file.name()))
                        .toList();
                return new Found(sequence, manifest, files);
            } catch (CaesuraException e) {
                if (e.code() == ErrorCode.EBADARCH) {
                    throw e;
                }
                notes.accept("context " + path + " is not usable (" + e.getMessage() + "); trying the one before");
            }
        }
        throw new CaesuraException(
                ErrorCode.ENOJOB,
                sequences.isEmpty()
                        ? below == Integer.MAX_VALUE
                                ? "job '" + job.job() + "' has no context yet"
                                : "job '" + job.job() + "' has no older context"
                        : "none of the " + sequences.size() + " contexts of job '" + job.job() + "' is good");
    }

    private Manifest verify(JobFolder job, int sequence) throws CaesuraException {
        Manifest manifest = job.manifest(sequence);
        int[] files = job.openFiles(sequence, manifest);
        try {
            engine.verify(files);
        } finally {
            job.closeFiles(files);
        }
        return manifest;
    }
}
