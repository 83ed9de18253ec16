package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.scheduler.JobFilter;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.ListedJob;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;

/** Empties a node without loss: no new jobs, every protected job checkpointed and requeued, and then nothing left. */
public final class Drain {

    private static final Duration POLL = Duration.ofMillis(250);

    private final JobQueue queue;
    private final Requeue requeue;
    private final Consumer<String> messages;

    /**
     * @param requeue without force, jobs that give no sign of protection stay and run on
     * @param messages told of each job as it is dealt with
     */
    public Drain(JobQueue queue, Requeue requeue, Consumer<String> messages) {
        this.queue = queue;
        this.requeue = requeue;
        this.messages = messages;
    }

    /** A job that stays on the node, and why. */
    public record Left(ListedJob job, String why) {}

    /**
     * Drains the node.
     *
     * @param limit for the node to become empty, counted after the last job was requeued
     * @return what is left on it; nothing: it is empty
     */
    public List<Left> run(String node, String reason, Duration limit) throws CaesuraException {
        queue.drain(node, reason);
        messages.accept("node " + node + " takes no new jobs");
        Map<String, String> staying = new LinkedHashMap<>();
        List<Requeue.Begun> begun = begin(node, staying);
        for (Requeue.Begun job : begun) {
            finish(job, staying);
        }
        return awaitEmpty(node, staying, limit);
    }

    /** All are asked first, so that they write at the same time. */
    private List<Requeue.Begun> begin(String node, Map<String, String> staying) throws CaesuraException {
        List<Requeue.Begun> begun = new ArrayList<>();
        for (ListedJob job : queue.list(JobFilter.ofNode(node))) {
            if (!job.isRunning()) {
                continue; // it ends already
            }
            try {
                begun.add(requeue.begin(queue, job));
            } catch (CaesuraException e) {
                stays(job, e, staying);
            }
        }
        return begun;
    }

    private void finish(Requeue.Begun begun, Map<String, String> staying) {
        try {
            String context = requeue.finish(begun, Requeue.Order.REQUEUE)
                    .map(path -> ", its context is " + path)
                    .orElse("");
            messages.accept("job " + begun.job().id() + " is requeued" + context);
        } catch (CaesuraException e) {
            stays(begun.job(), e, staying);
        }
    }

    private void stays(ListedJob job, CaesuraException why, Map<String, String> staying) {
        staying.put(job.id(), why.getMessage());
        messages.accept("job " + job.id() + " of " + job.user() + " stays: " + why.getMessage());
    }

    /** Waits for the jobs that were requeued, not for those that run on. */
    private List<Left> awaitEmpty(String node, Map<String, String> staying, Duration limit) throws CaesuraException {
        long end = System.nanoTime() + limit.toNanos();
        while (true) {
            List<ListedJob> there = queue.list(JobFilter.ofNode(node));
            boolean isSettled = there.stream().allMatch(job -> staying.containsKey(job.id()));
            if (isSettled || System.nanoTime() - end >= 0) {
                return there.stream()
                        .map(job -> new Left(job, staying.getOrDefault(job.id(), "has not ended yet")))
                        .toList();
            }
            LockSupport.parkNanos(POLL.toNanos());
        }
    }

    /** What a node that is not empty comes to. */
    public static CaesuraException notEmpty(String node, List<Left> left) {
        return new CaesuraException(
                ErrorCode.EBUSY,
                "node " + node + " is not empty: " + left.size() + (left.size() == 1 ? " job is" : " jobs are")
                        + " left",
                "wait for them, or cancel them; --force requeues jobs that start from the beginning then");
    }
}
