package io.caesura.agent;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.Checkpoint;
import io.caesura.flow.JobCheckpoint;
import io.caesura.flow.Jobs;
import io.caesura.flow.Reaction;
import io.caesura.policy.Policy;
import io.caesura.scheduler.JobState;
import io.caesura.scheduler.Scheduler;
import io.caesura.timer.Ticker;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * What happens to a running batch job: the supervisor's events, the policy's timer, the end. One thread reads the
 * supervisor's lines, one deals with events in their order: so the supervisor's end is seen in the middle of a checkpoint.
 */
final class BatchEvents {

    private static final int SIGKILL = 9;

    /** For a checkpoint of somebody else's that is under way when a run has to be left. */
    private static final Duration PATIENCE = Duration.ofMinutes(10);

    private final Scheduler scheduler;
    private final String job;
    private final Jobs jobs;
    private final Policy policy;
    private final JobRun run;
    private final Link link;
    private final Consumer<String> messages;

    /** The end of the root will not be the job's: it is queued again, or its end was not of its own making. */
    private volatile boolean isKept;

    /** The job is cancelled and its contexts are gone. */
    private volatile boolean isDropped;

    private volatile boolean hasLeft;

    BatchEvents(
            Scheduler scheduler,
            String job,
            Jobs jobs,
            Policy policy,
            JobRun run,
            Link link,
            Consumer<String> messages) {
        this.scheduler = scheduler;
        this.job = job;
        this.jobs = jobs;
        this.policy = policy;
        this.run = run;
        this.link = link;
        this.messages = messages;
    }

    /**
     * Serves the run until it ends or nothing is left to wait for.
     *
     * @param isCalled whether the engine was started for an event, which is about to come
     * @param notes lines for the job's owner. They are told when the job runs, since a restart cuts its output back to
     *     what it was at the checkpoint
     * @return the exit status
     */
    int follow(JobCheckpoints checkpoints, boolean isCalled, List<String> notes) throws CaesuraException {
        Optional<Ticker> ticker = Optional.empty();
        ExecutorService events = Executors.newSingleThreadExecutor(task -> {
            Thread thread = new Thread(task, "events");
            thread.setDaemon(true);
            return thread;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(checkpoints::abort, "cleaner"));
        try {
            Optional<String> line = link.receive();
            while (line.isPresent()) {
                String[] words = line.get().split(" ", 2);
                int number = words.length == 2 ? number(line.get(), words[1]) : 0;
                switch (words[0]) {
                    case "started" -> {
                        run.started(number);
                        tell(notes);
                        ticker = begin(checkpoints, isCalled);
                    }
                    case "event" -> events.execute(() -> serve(number, checkpoints));
                    case "ended" -> {
                        ticker.ifPresent(Ticker::close);
                        ticker = Optional.empty();
                        // An event that is being dealt with comes first: it may be what ended the job.
                        join(events);
                        ended(number);
                        return 0;
                    }
                    default -> throw said(line.get());
                }
                line = link.receive();
            }
            // Either there was nothing left to do, or the supervisor is gone and the job with it. A checkpoint that is
            // under way then is of no use any more: the processes are dying under it.
            return 0;
        } finally {
            ticker.ifPresent(Ticker::close);
            events.shutdownNow();
        }
    }

    private Optional<Ticker> begin(JobCheckpoints checkpoints, boolean isCalled) throws CaesuraException {
        StringBuilder watched = new StringBuilder("watch " + Reaction.SIGTERM + " " + Reaction.SIGURG);
        policy.signal().ifPresent(signal -> watched.append(' ').append(signal));
        link.send(watched.toString());
        if (policy.interval().isEmpty()) {
            if (!isCalled) {
                link.send("oneshot");
            }
            return Optional.empty();
        }
        return Optional.of(Ticker.every(
                policy.interval().get(),
                checkpoints::tick,
                failure -> messages.accept("caesura: checkpoint failed: " + failure)));
    }

    /** Deals with one event. Nothing that goes wrong here may leave the job without its signal. */
    private void serve(int signal, JobCheckpoints checkpoints) {
        try {
            try {
                handle(signal, checkpoints);
            } catch (RuntimeException e) {
                messages.accept("caesura: job " + job + ": internal error: " + e);
                forward(signal);
                throw e;
            }
        } catch (CaesuraException e) {
            // The supervisor does not listen any more, so there is nobody to serve.
            messages.accept("caesura: job " + job + ": " + e.getMessage());
        }
    }

    private void handle(int signal, JobCheckpoints checkpoints) throws CaesuraException {
        if (hasLeft) {
            // The TERM of the requeue that we asked for ourselves.
            link.send("done " + signal);
            return;
        }
        Reaction reaction = react(signal);
        switch (reaction.action()) {
            case FORWARD -> {
                isKept = isKept || !reaction.reason().equals("signal");
                forward(signal);
            }
            case SAVE -> save(reaction, checkpoints);
            case SAVE_AND_FORWARD -> {
                isKept = true;
                save(reaction, checkpoints);
                forward(signal);
            }
            case LEAVE -> leave(signal, reaction, checkpoints);
            case CANCEL -> cancel(signal, checkpoints);
            default -> {} // NOTHING
        }
        link.send("done " + signal);
        if (policy.interval().isEmpty() && !isKept && !isDropped && !hasLeft) {
            link.send("oneshot");
        }
    }

    private Reaction react(int signal) throws CaesuraException {
        JobState state;
        try {
            state = scheduler.state(job);
        } catch (CaesuraException e) {
            messages.accept("caesura: job " + job + ": cannot tell why "
                    + (signal == Reaction.WAKE ? "its time is up" : "signal " + signal + " came") + ": "
                    + e.getMessage());
            return Reaction.blind(signal, policy);
        }
        Reaction reaction = Reaction.to(signal, state, run.identity().restartCount(), policy, Instant.now());
        if (signal == Reaction.WAKE && reaction.action() == Reaction.Action.NOTHING) {
            Optional<Duration> left = Reaction.untilLimit(state, policy, Instant.now());
            if (left.isPresent()) {
                link.send("wake " + Math.max(1, left.get().toSeconds()));
            }
        }
        return reaction;
    }

    private void forward(int signal) throws CaesuraException {
        if (signal != Reaction.WAKE) {
            link.send("forward " + signal);
        }
    }

    /** A checkpoint after which the job goes on. A failure is told, and is none of the job's. */
    private void save(Reaction reaction, JobCheckpoints checkpoints) {
        try {
            checkpoints.take(new JobCheckpoint.Demand(reaction.reason(), PATIENCE, Optional.empty()));
        } catch (CaesuraException e) {
            if (!checkpoints.isOver()) {
                complain(reaction, e, "the job runs on");
            }
        }
    }

    /** A checkpoint that ends this run. If it cannot be taken, the job meets what comes as it would without us. */
    private void leave(int signal, Reaction reaction, JobCheckpoints checkpoints) throws CaesuraException {
        Checkpoint.Departure departure = () -> {
            tellScheduler(reaction.then());
            run.folder().removeNote();
            hasLeft = true;
            link.send("end 0");
            return SIGKILL;
        };
        isKept = true;
        // For the case that this run is killed in the middle: what is written to the job's output now its next start
        // cuts off again.
        leaveNote("caesura: the checkpoint of job " + job + " (" + reaction.reason()
                + ") was not complete when the run before ended; the job goes on from the last good one");
        try {
            checkpoints.take(new JobCheckpoint.Demand(reaction.reason(), PATIENCE, Optional.of(departure)));
        } catch (CaesuraException e) {
            if (hasLeft) {
                throw e;
            }
            // What only announced the end lets the job run on, to its own end perhaps, if it has not come to it
            // already.
            isKept = signal == Reaction.SIGTERM;
            if (!isKept && checkpoints.isOver()) {
                run.folder().removeNote();
            } else {
                complain(reaction, e, nextStart());
            }
            forward(signal);
            return;
        }
        if (policy.requeueNow() && reaction.then() != Reaction.Then.HOLD) {
            startNow();
        }
    }

    private void leaveNote(String note) {
        try {
            run.folder().writeNote(note);
        } catch (CaesuraException e) {
            messages.accept("caesura: job " + job + ": no note can be left for its next start: " + e.getMessage());
        }
    }

    private void tell(List<String> notes) {
        notes.forEach(messages);
        run.folder().removeNote();
    }

    private void tellScheduler(Reaction.Then then) throws CaesuraException {
        switch (then) {
            case REQUEUE -> scheduler.requeue(job);
            case HOLD -> scheduler.hold(job);
            default -> {} // NOTHING
        }
    }

    private void startNow() {
        try {
            scheduler.startNow(job);
        } catch (CaesuraException e) {
            messages.accept(
                    "caesura: job " + job + " waits as long as the scheduler's requeue delay says: " + e.getMessage());
        }
    }

    private void cancel(int signal, JobCheckpoints checkpoints) throws CaesuraException {
        isKept = true;
        if (!policy.keepOnCancel()) {
            // A tick in the middle of the removal would find half a folder, and put a file into it.
            checkpoints.stop();
            drop();
        }
        forward(signal);
    }

    private void drop() {
        try {
            try (var lock = run.folder().lockWithin(PATIENCE)) {
                isDropped = true;
            }
            jobs.remove(run.folder());
        } catch (CaesuraException e) {
            messages.accept("caesura: job " + job + " is cancelled, but its contexts stay in "
                    + run.folder().path() + ": " + e.getMessage());
        }
    }

    private String nextStart() {
        try {
            List<Integer> sequences = run.folder().sequences();
            return sequences.isEmpty()
                    ? "it has no context, so its next start is from the beginning"
                    : "its next start is from context " + run.folder().contextPath(sequences.get(0));
        } catch (CaesuraException e) {
            return e.getMessage();
        }
    }

    private void complain(Reaction reaction, CaesuraException e, String consequence) {
        String complaint = "caesura: job " + job + " could not be checkpointed (" + reaction.reason() + "): "
                + e.getMessage() + "; " + consequence;
        messages.accept(complaint);
        messages.accept("hint: " + e.remedy());
        if (reaction.action() == Reaction.Action.LEAVE) {
            leaveNote(complaint);
        }
    }

    private void ended(int waitStatus) throws CaesuraException {
        if (isDropped || hasLeft) {
            return;
        }
        if (isKept) {
            run.ended(waitStatus);
        } else {
            jobs.finish(policy, run.folder(), run.identity(), waitStatus);
        }
    }

    private static void join(ExecutorService events) {
        events.shutdown();
        try {
            while (!events.awaitTermination(1, TimeUnit.MINUTES)) {}
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static int number(String line, String text) throws CaesuraException {
        if (!text.matches("\\d{1,9}")) {
            throw said(line);
        }
        return Integer.parseInt(text);
    }

    private static CaesuraException said(String line) {
        return new CaesuraException(ErrorCode.EENGINE, "the supervisor said '" + line + "'");
    }
}
