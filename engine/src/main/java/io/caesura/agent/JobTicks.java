package io.caesura.agent;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.Checkpoint;
import io.caesura.flow.Host;
import io.caesura.flow.JobCheckpoint;
import io.caesura.model.RunIdentity;
import io.caesura.policy.Policy;
import io.caesura.store.ContextTarget;
import io.caesura.store.JobFolder;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** The timed checkpoints of a job. tick() is called by one thread; abort() by any. */
final class JobTicks {

    private final JobCheckpoint checkpoint;
    private final JobFolder folder;
    private final Consumer<String> messages;
    private final AtomicReference<ContextTarget> target = new AtomicReference<>();

    @Nullable
    private String lastComplaint;

    private boolean fenced;

    JobTicks(CaptureEngine engine, Host host, Policy policy, JobFolder folder, Consumer<String> messages) {
        Checkpoint steps = new Checkpoint(engine, (level, line) -> {}, (done, total) -> {});
        this.checkpoint = new JobCheckpoint(steps, policy, host);
        this.folder = folder;
        this.messages = messages;
    }

    /** One checkpoint. A failure is told once, not at every tick; the next tick tries again. */
    void tick(RunIdentity run) {
        if (fenced) {
            return;
        }
        try {
            checkpoint.run(folder, run, "timer", 0, target::set);
            if (lastComplaint != null) {
                messages.accept("caesura: checkpoints of job '" + folder.job() + "' succeed again");
                lastComplaint = null;
            }
        } catch (CaesuraException e) {
            if (e.code() == ErrorCode.EBUSY) {
                // Somebody else captures the job just now, which is as good.
                return;
            }
            fenced = e.code() == ErrorCode.EFENCED;
            String complaint = "caesura: checkpoint of job '" + folder.job() + "' failed: " + e.getMessage();
            if (!complaint.equals(lastComplaint)) {
                lastComplaint = complaint;
                messages.accept(complaint);
                messages.accept("hint: " + e.remedy());
            }
        }
    }

    void abort() {
        ContextTarget open = target.get();
        if (open != null) {
            open.abort();
        }
    }
}
