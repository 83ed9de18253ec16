package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import io.caesura.scheduler.JobState;
import io.caesura.scheduler.ListedJob;
import io.caesura.store.JobFolder;
import io.caesura.store.JobStore;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/** Looks at the folders of jobs, in the stores of their owners. */
public final class JobViews {

    /** Clocks of nodes may differ so much. */
    private static final Duration SKEW = Duration.ofMinutes(2);

    /** Finds the stores of a user. */
    @FunctionalInterface
    public interface Owners {
        Jobs jobsOf(String user) throws CaesuraException;
    }

    private final Owners owners;

    public JobViews(Owners owners) {
        this.owners = owners;
    }

    /**
     * Never fails: an operator may reach a job whose owner's files he cannot read, as with root on an NFS with root-squash.
     *
     * @param cluster that the job belongs to
     */
    public JobView view(String cluster, ListedJob job) {
        try {
            Optional<StoredJob> stored = stored(cluster, job).filter(found -> isOf(job, found));
            return new JobView(job, stored, Optional.empty());
        } catch (CaesuraException e) {
            return new JobView(job, Optional.empty(), Optional.of(e.getMessage()));
        }
    }

    private Optional<StoredJob> stored(String cluster, ListedJob job) throws CaesuraException {
        JobName name = JobName.parse(job.folder());
        for (JobStore store : owners.jobsOf(job.user()).stores(cluster)) {
            Optional<JobFolder> folder = store.open(name);
            if (folder.isPresent()) {
                try (JobFolder open = folder.get()) {
                    if (open.owner() != job.userId()) {
                        throw new CaesuraException(
                                ErrorCode.EUNTRUSTED, open.path() + " belongs to user " + open.owner());
                    }
                    return Optional.of(StoredJob.of(open));
                }
            }
        }
        return Optional.empty();
    }

    /**
     * Whether the folder is this job's and not that of an earlier one with the same number. A later run's folder is made in
     * an earlier run, a first one's not before the job has started.
     */
    private static boolean isOf(ListedJob job, StoredJob stored) {
        if (job.state().restartCount() > 0 || stored.created().isEmpty()) {
            return true;
        }
        if (job.state().base() == JobState.Base.PENDING) {
            return false;
        }
        Optional<Instant> started = job.started();
        return started.isEmpty() || !stored.created().get().plus(SKEW).isBefore(started.get());
    }
}
