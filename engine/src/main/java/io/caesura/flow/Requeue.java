package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.ListedJob;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Ends the run of a job so that it starts again later, not before its state is on disk: a scheduler that tracks processes
 * without cgroups signals the job itself, and then it is too late.
 */
public final class Requeue {

    /** What becomes of the job. */
    public enum Order {
        REQUEUE("requeued"),
        HOLD("held");

        private final String done;

        Order(String done) {
            this.done = done;
        }

        /** In a sentence: the job is ... */
        public String done() {
            return done;
        }
    }

    /**
     * How.
     *
     * @param checkpoint false: the scheduler is told at once
     * @param force whether the scheduler is told though no checkpoint was seen to be complete
     * @param limit for the checkpoint
     */
    public record Terms(boolean checkpoint, boolean force, Duration limit) {}

    private final JobViews views;
    private final Terms terms;
    private final Consumer<String> messages;

    /** @param messages told of what was forced */
    public Requeue(JobViews views, Terms terms, Consumer<String> messages) {
        this.views = views;
        this.terms = terms;
        this.messages = messages;
    }

    /** A job whose checkpoint is under way, or that needs none. */
    public record Begun(JobQueue queue, ListedJob job, Optional<CheckpointRequest> request) {}

    /** Asks the job for its checkpoint. */
    public Begun begin(JobQueue queue, ListedJob job) throws CaesuraException {
        if (!terms.checkpoint() || !job.isRunning()) {
            return new Begun(queue, job, Optional.empty());
        }
        return new Begun(queue, job, Optional.of(CheckpointRequest.ask(views, queue, job)));
    }

    /**
     * Waits for the checkpoint and tells the scheduler.
     *
     * @return the context; empty if there was nothing to checkpoint, or it was forced without one
     * @throws CaesuraException as CheckpointRequest.await(); the job then runs on
     */
    public Optional<Path> finish(Begun begun, Order order) throws CaesuraException {
        Optional<Path> context = Optional.empty();
        if (begun.request().isPresent()) {
            context = await(begun.request().get(), order);
        }
        if (order == Order.REQUEUE) {
            begun.queue().requeue(begun.job().id());
        } else {
            begun.queue().hold(begun.job().id());
        }
        return context;
    }

    private Optional<Path> await(CheckpointRequest request, Order order) throws CaesuraException {
        try {
            return Optional.of(request.await(terms.limit()));
        } catch (CaesuraException e) {
            if (!terms.force()) {
                throw new CaesuraException(
                        e.code(),
                        e.getMessage() + "; it is not " + order.done() + " and runs on",
                        e.remedy() + "; --force does it without");
            }
            messages.accept(e.getMessage() + "; " + order.done() + " nevertheless");
            return Optional.empty();
        }
    }
}
