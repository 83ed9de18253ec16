package io.caesura.scheduler;

import io.caesura.error.CaesuraException;
import java.util.List;

/** A scheduler that can also tell which jobs there are: what people's commands need beyond what a job's engine does. */
public interface JobQueue extends Scheduler {

    /** Name of the cluster: the folder of a store that its jobs are in. */
    String cluster() throws CaesuraException;

    /**
     * The jobs that wait, run or end just now, in the scheduler's order; each task of a job array by itself.
     *
     * @throws CaesuraException ENOJOB if a job asked for by id is unknown or has ended, ESCHEDULER
     */
    List<ListedJob> list(JobFilter filter) throws CaesuraException;

    /** Keeps new jobs away from a node. What runs there goes on. */
    void drain(String node, String reason) throws CaesuraException;
}
