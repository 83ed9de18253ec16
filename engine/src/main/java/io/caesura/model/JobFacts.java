package io.caesura.model;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What job.json says of a job.
 *
 * @param spec as it was given
 * @param policy the policy that it resolved to, key by key
 * @param created ISO 8601
 * @param key of a batch job, made at its submission: tells it from another one that got the same id; null for others
 */
public record JobFacts(
        String job,
        String spec,
        Map<String, Object> policy,
        List<String> command,
        String workingFolder,
        String user,
        String created,
        @Nullable String key) {

    public JobFacts {
        Objects.requireNonNull(job, "job");
        Objects.requireNonNull(spec, "spec");
        Objects.requireNonNull(workingFolder, "workingFolder");
        policy = Collections.unmodifiableMap(new LinkedHashMap<>(policy)); // keeps the order
        command = List.copyOf(command);
    }
}
