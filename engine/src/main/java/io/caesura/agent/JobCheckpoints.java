package io.caesura.agent;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.Checkpoint;
import io.caesura.flow.Host;
import io.caesura.flow.JobCheckpoint;
import io.caesura.policy.Policy;
import io.caesura.store.ContextTarget;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** The checkpoints that a job's agent takes, by its timer and on events, one at a time. Any thread may call. */
final class JobCheckpoints {

    private final JobCheckpoint checkpoint;
    private final JobRun run;
    private final Host host;
    private final Consumer<String> messages;
    private final AtomicReference<ContextTarget> target = new AtomicReference<>();

    /** Held by whoever captures: an event waits for a tick, a tick that finds an event under way is left out. */
    private final ReentrantLock capturing = new ReentrantLock();

    @Nullable
    private String lastComplaint;

    private boolean stopped;

    JobCheckpoints(CaptureEngine engine, Host host, Policy policy, JobRun run, Consumer<String> messages) {
        Checkpoint steps = new Checkpoint(engine, (level, line) -> {}, (done, total) -> {});
        this.checkpoint = new JobCheckpoint(steps, policy, host);
        this.run = run;
        this.host = host;
        this.messages = messages;
    }

    /** No tick checkpoints any more. Waits for one that does just now. */
    void stop() {
        capturing.lock();
        try {
            stopped = true;
        } finally {
            capturing.unlock();
        }
    }

    /** A timed checkpoint. A failure is told once, not at every tick; the next tick tries again. */
    void tick() {
        if (!capturing.tryLock()) {
            return;
        }
        try {
            if (!stopped) {
                timed();
            }
        } finally {
            capturing.unlock();
        }
    }

    private void timed() {
        try {
            checkpoint.run(run.folder(), run.identity(), "timer", 0, target::set);
            if (lastComplaint != null) {
                messages.accept("caesura: checkpoints of job '" + run.folder().job() + "' succeed again");
                lastComplaint = null;
            }
        } catch (CaesuraException e) {
            if (e.code() == ErrorCode.EBUSY) {
                // Somebody else captures the job just now, which is as good.
                return;
            }
            if (isOver()) {
                return;
            }
            stopped = e.code() == ErrorCode.EFENCED;
            String complaint = "caesura: checkpoint of job '" + run.folder().job() + "' failed: " + e.getMessage();
            if (!complaint.equals(lastComplaint)) {
                lastComplaint = complaint;
                messages.accept(complaint);
                messages.accept("hint: " + e.remedy());
            }
        }
    }

    /** Whether the job has ended, as its supervisor is about to say. A checkpoint that failed then is no failure. */
    boolean isOver() {
        return !host.isAlive(run.identity());
    }

    /** A checkpoint that somebody waits for. */
    JobCheckpoint.Done take(JobCheckpoint.Demand demand) throws CaesuraException {
        capturing.lock();
        try {
            return checkpoint.run(run.folder(), run.identity(), demand, target::set);
        } finally {
            capturing.unlock();
        }
    }

    void abort() {
        ContextTarget open = target.get();
        if (open != null) {
            open.abort();
        }
    }
}
