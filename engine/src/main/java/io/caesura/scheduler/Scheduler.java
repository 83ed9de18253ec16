package io.caesura.scheduler;

import io.caesura.error.CaesuraException;

/** A batch system. Every call asks it anew; nothing is kept. Implementations may be used by several threads. */
public interface Scheduler {

    /** As CAESURA_SCHEDULER says it. */
    String name();

    /** @throws CaesuraException ENOJOB if the scheduler does not know the job, ESCHEDULER if it does not answer */
    JobState state(String job) throws CaesuraException;

    /** Ends the job's run and queues it again. */
    void requeue(String job) throws CaesuraException;

    /** Ends the job's run if it has one, queues it again, and keeps it from starting until release(). */
    void hold(String job) throws CaesuraException;

    /** Lets a held job start. */
    void release(String job) throws CaesuraException;

    /** Takes away the delay that a requeued job has before it may start again. */
    void startNow(String job) throws CaesuraException;

    /** Ends the job for good. */
    void cancel(String job) throws CaesuraException;

    /** Asks the job's supervisor for a checkpoint after which the job goes on. May return before that is done. */
    void askCheckpoint(String job) throws CaesuraException;
}
