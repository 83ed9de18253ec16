package io.caesura.fake;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.scheduler.JobState;
import io.caesura.scheduler.Scheduler;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/** A batch system that says of every job what the test wants, and keeps a diary of what it is told. */
public final class FakeScheduler implements Scheduler {

    public static final JobState RUNNING =
            new JobState(JobState.Base.RUNNING, 0, Optional.empty(), Optional.empty(), true);

    public final List<String> diary = Collections.synchronizedList(new ArrayList<>());
    public volatile JobState state = RUNNING;

    /** Calls that are refused: requeue, hold, state ... */
    public volatile String refuses = "";

    @Override
    public String name() {
        return "slurm";
    }

    @Override
    public JobState state(String job) throws CaesuraException {
        allow("state");
        return state;
    }

    @Override
    public void requeue(String job) throws CaesuraException {
        told("requeue", job);
    }

    @Override
    public void hold(String job) throws CaesuraException {
        told("hold", job);
    }

    @Override
    public void release(String job) throws CaesuraException {
        told("release", job);
    }

    @Override
    public void startNow(String job) throws CaesuraException {
        told("startNow", job);
    }

    @Override
    public void cancel(String job) throws CaesuraException {
        told("cancel", job);
    }

    @Override
    public void askCheckpoint(String job) throws CaesuraException {
        told("askCheckpoint", job);
    }

    private void told(String what, String job) throws CaesuraException {
        allow(what);
        diary.add(what + " " + job);
    }

    private void allow(String what) throws CaesuraException {
        if (refuses.equals(what)) {
            throw new CaesuraException(ErrorCode.ESCHEDULER, "slurmctld does not answer");
        }
    }
}
