package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.scheduler.JobFilter;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.ListedJob;
import java.util.ArrayList;
import java.util.List;

/** Finds jobs in one or several schedulers. */
public final class JobSelection {

    private final List<JobQueue> queues;

    /** @param queues in the order in which a job is looked for by its id; at least one */
    public JobSelection(List<JobQueue> queues) {
        this.queues = List.copyOf(queues);
    }

    /** A job and the scheduler that has it. */
    public record Selected(JobQueue queue, ListedJob job) {}

    /**
     * The jobs that are meant, each once.
     *
     * @throws CaesuraException ENOJOB if a job named by its id is nowhere
     */
    public List<Selected> select(JobFilter filter) throws CaesuraException {
        List<Selected> selected = new ArrayList<>();
        if (filter.ids().isEmpty()) {
            for (JobQueue queue : queues) {
                add(selected, queue, filter);
            }
        }
        for (String id : filter.ids()) {
            addById(selected, id, filter);
        }
        return selected;
    }

    private void addById(List<Selected> selected, String id, JobFilter filter) throws CaesuraException {
        JobFilter one = new JobFilter(List.of(id), filter.user(), filter.partition(), filter.node());
        CaesuraException first = null;
        for (JobQueue queue : queues) {
            try {
                add(selected, queue, one);
                return;
            } catch (CaesuraException e) {
                // EINVAL: this scheduler has no ids of that form.
                if (e.code() != ErrorCode.ENOJOB && e.code() != ErrorCode.EINVAL) {
                    throw e;
                }
                // The last scheduler takes any name for an id, so what the first one says of this one is more to the
                // point.
                first = first == null || first.code() == ErrorCode.EINVAL ? e : first;
            }
        }
        throw first == null ? new CaesuraException(ErrorCode.ENOJOB, "no job " + id) : first;
    }

    private static void add(List<Selected> selected, JobQueue queue, JobFilter filter) throws CaesuraException {
        for (ListedJob job : queue.list(filter)) {
            boolean isNew = selected.stream()
                    .noneMatch(s -> s.queue() == queue && s.job().id().equals(job.id()));
            if (isNew) {
                selected.add(new Selected(queue, job));
            }
        }
    }
}
