package io.caesura.model;

import java.util.List;
import java.util.Map;

/**
 * What job.json says of a job.
 *
 * @param spec as it was given
 * @param policy the policy that it resolved to, key by key
 * @param created ISO 8601
 */
public record JobFacts(
        String job,
        String spec,
        Map<String, Object> policy,
        List<String> command,
        String workingFolder,
        String user,
        String created) {}
