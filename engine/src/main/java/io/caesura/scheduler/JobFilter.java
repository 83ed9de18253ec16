package io.caesura.scheduler;

import java.util.List;
import java.util.Optional;

/**
 * Which jobs are meant: those that meet everything given here.
 *
 * @param ids as people write them, also of a whole job array; empty: whatever id
 */
public record JobFilter(List<String> ids, Optional<String> user, Optional<String> partition, Optional<String> node) {

    public static final JobFilter ALL = new JobFilter(List.of(), Optional.empty(), Optional.empty(), Optional.empty());

    public JobFilter {
        ids = List.copyOf(ids);
    }

    public static JobFilter ofIds(String... ids) {
        return new JobFilter(List.of(ids), Optional.empty(), Optional.empty(), Optional.empty());
    }

    public static JobFilter ofUser(String user) {
        return new JobFilter(List.of(), Optional.of(user), Optional.empty(), Optional.empty());
    }

    public static JobFilter ofNode(String node) {
        return new JobFilter(List.of(), Optional.empty(), Optional.empty(), Optional.of(node));
    }
}
