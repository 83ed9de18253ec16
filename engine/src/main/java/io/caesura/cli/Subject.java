package io.caesura.cli;

import io.caesura.error.CaesuraException;
import java.util.List;
import java.util.Optional;

/** A command, its options filled in. */
interface Subject {

    /** @return the exit status */
    int run() throws CaesuraException, UsageException;

    /** Commands under this one, each named by its first word. */
    default List<Subject> subcommands() {
        return List.of();
    }

    /** What a bad command line comes to, when it was understood in part. Empty: the usual message and status. */
    default Optional<Integer> onUsageError() throws CaesuraException {
        return Optional.empty();
    }
}
