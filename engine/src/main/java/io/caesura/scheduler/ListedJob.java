package io.caesura.scheduler;

import java.time.Instant;
import java.util.Optional;

/**
 * A job in the queue.
 *
 * @param id as people write it, such as 17 or 15_2; it means this job alone
 * @param folder name of its folder in a store: the id that the job itself sees
 * @param userId of its owner; -1: not known here
 * @param word the scheduler's own word for its state, which may say more than state does
 * @param nodes where it runs, in the scheduler's notation; empty: nowhere
 */
public record ListedJob(
        String id,
        String folder,
        String user,
        int userId,
        String partition,
        String word,
        String nodes,
        Optional<Instant> submitted,
        Optional<Instant> started,
        JobState state) {

    /** Whether its processes run, or are stopped for a while. */
    public boolean isRunning() {
        return state.base() == JobState.Base.RUNNING || state.base() == JobState.Base.SUSPENDED;
    }

    /** The same with the id of its owner, for a scheduler that tells the name alone. */
    ListedJob withUserId(int id) {
        return new ListedJob(this.id, folder, user, id, partition, word, nodes, submitted, started, state);
    }
}
