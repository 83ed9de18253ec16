package io.caesura.model;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * What manifest.json says of a context: who, where, when, why, and what it cost. It is written last, so a context that has
 * none is not complete.
 *
 * @param format version of this layout
 * @param setId of the context, as in the header of each of its files
 * @param written ISO 8601
 * @param reason why it was taken: "timer" or "request"
 * @param run the run of the job that wrote it
 * @param policy in force, key by key
 * @param pids the processes, as they see themselves
 */
public record Manifest(
        int format,
        String job,
        int sequence,
        String setId,
        String written,
        String user,
        String reason,
        RunIdentity run,
        Map<String, Object> policy,
        List<Integer> pids,
        Cost cost,
        List<FileEntry> files) {

    public static final int FORMAT = 1;

    public Manifest {
        Objects.requireNonNull(job, "job");
        Objects.requireNonNull(setId, "setId");
        Objects.requireNonNull(written, "written");
        Objects.requireNonNull(run, "run");
        Objects.requireNonNull(cost, "cost");
        policy = Collections.unmodifiableMap(new LinkedHashMap<>(policy)); // keeps the order
        pids = List.copyOf(pids);
        files = List.copyOf(files);
    }

    /** Times in milliseconds. pauseMs is 0 where the scope was still frozen when the manifest was written. */
    public record Cost(
            double pauseMs,
            double freezeMs,
            double collectMs,
            long pageBytes,
            long fileBytes,
            long totalBytes,
            int threads) {}

    /** @param crc32c of the whole file, 8 hexadecimal digits */
    public record FileEntry(String name, long sizeBytes, String crc32c) {
        public FileEntry {
            Objects.requireNonNull(name, "name");
        }
    }
}
