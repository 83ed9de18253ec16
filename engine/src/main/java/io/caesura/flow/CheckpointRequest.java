package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.Manifest;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.ListedJob;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/**
 * Asks a running job for a checkpoint, and sees whether one comes: nobody answers but the store. Two steps, so that several
 * jobs write at the same time.
 */
public final class CheckpointRequest {

    /** How soon the engine of a job has made its folder, if that job is one of ours. It may have to be started first. */
    private static final Duration ANSWER = Duration.ofSeconds(30);

    private static final Duration POLL = Duration.ofMillis(100);
    private static final Duration STATE_POLL = Duration.ofSeconds(2);

    private final JobViews views;
    private final JobQueue queue;
    private final JobView before;
    private final long askedNanos;

    private CheckpointRequest(JobViews views, JobQueue queue, JobView before) {
        this.views = views;
        this.queue = queue;
        this.before = before;
        this.askedNanos = System.nanoTime();
    }

    /**
     * Asks.
     *
     * @throws CaesuraException ENOJOB if the job does not run, or what the scheduler says
     */
    public static CheckpointRequest ask(JobViews views, JobQueue queue, ListedJob job) throws CaesuraException {
        if (!job.isRunning()) {
            throw new CaesuraException(
                    ErrorCode.ENOJOB,
                    "job " + job.id() + " does not run (" + job.word() + "), so there is nothing to checkpoint",
                    "see its contexts with cr_job show " + job.id());
        }
        JobView before = views.view(queue.cluster(), job);
        queue.askCheckpoint(job.id());
        return new CheckpointRequest(views, queue, before);
    }

    public ListedJob job() {
        return before.job();
    }

    /** Why the outcome cannot be seen; empty: it can. */
    public Optional<String> hidden() {
        return before.hidden();
    }

    /**
     * Waits until a context is complete that was not there before.
     *
     * @param limit counted from the moment of the request
     * @return where it is
     * @throws CaesuraException EACCES if the store cannot be looked at; ENOJOB if the job ended, or shows no sign of being a
     *     protected one; ETIMEDOUT
     */
    public Path await(Duration limit) throws CaesuraException {
        String id = job().id();
        if (hidden().isPresent()) {
            throw new CaesuraException(
                    ErrorCode.EACCES,
                    "job " + id + " was asked for a checkpoint, but the outcome cannot be seen: " + hidden().get(),
                    "look as user " + job().user() + ": cr_job show " + id);
        }
        Duration answer = ANSWER.compareTo(limit) < 0 ? ANSWER : limit;
        long stateCheck = System.nanoTime() + STATE_POLL.toNanos();
        while (true) {
            JobView now = views.view(queue.cluster(), job());
            Optional<StoredJob.Context> newest = now.stored().flatMap(StoredJob::newest);
            if (newest.isPresent() && isNew(newest.get())) {
                return newest.get().path();
            }
            if (now.stored().isEmpty() && hasPassed(answer)) {
                throw notProtected();
            }
            if (hasPassed(limit)) {
                throw timedOut(limit);
            }
            if (System.nanoTime() - stateCheck >= 0) {
                requireRunning();
                stateCheck = System.nanoTime() + STATE_POLL.toNanos();
            }
            LockSupport.parkNanos(POLL.toNanos());
        }
    }

    private boolean isNew(StoredJob.Context context) {
        Optional<StoredJob.Context> former = before.stored().flatMap(StoredJob::newest);
        if (former.isEmpty()) {
            return true;
        }
        // A folder that was made anew counts from the beginning, so the number alone does not tell.
        boolean isOther =
                context.sequence() != former.get().sequence() || !setId(context).equals(setId(former.get()));
        // One that was removed lets an older one come forward.
        boolean isOlder = context.written().isPresent()
                && former.get()
                        .written()
                        .filter(then -> context.written().get().isBefore(then))
                        .isPresent();
        return isOther && !isOlder;
    }

    private static String setId(StoredJob.Context context) {
        return context.manifest().map(Manifest::setId).orElse("");
    }

    private boolean hasPassed(Duration span) {
        return System.nanoTime() - askedNanos >= span.toNanos();
    }

    private void requireRunning() throws CaesuraException {
        switch (queue.state(job().id()).base()) {
            case RUNNING, SUSPENDED -> {}
            default ->
                throw new CaesuraException(
                        ErrorCode.ENOJOB,
                        "job " + job().id() + " ended before its checkpoint was complete",
                        "see what it wrote to its stderr, and cr_job show " + job().id());
        }
    }

    private CaesuraException notProtected() {
        return new CaesuraException(
                ErrorCode.ENOJOB,
                "job " + job().id()
                        + " is not protected: it was asked for a checkpoint, and has no folder in the store",
                "submit it with --checkpoint; its stderr says why if it was");
    }

    private CaesuraException timedOut(Duration limit) {
        return new CaesuraException(
                ErrorCode.ETIMEDOUT,
                "job " + job().id() + " was asked for a checkpoint, and none was complete after " + limit.toSeconds()
                        + " s",
                "see what it wrote to its stderr; a longer --timeout may do");
    }
}
