package io.caesura.policy;

import java.util.Map;

/**
 * A policy with the origin of its values.
 *
 * @param origins by key, with a dot for what stands inside of another: file and line, the SPEC, or "built in"
 */
public record ResolvedPolicy(Policy policy, String description, Map<String, String> origins) {

    public ResolvedPolicy {
        origins = Map.copyOf(origins);
    }
}
