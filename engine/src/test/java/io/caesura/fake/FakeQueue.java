package io.caesura.fake;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.scheduler.JobFilter;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.JobState;
import io.caesura.scheduler.ListedJob;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A batch system of one cluster, "lab", with the jobs that a test puts into it. A requeued job leaves its node at once. */
public final class FakeQueue implements JobQueue {

    /** What a job does when it is asked for a checkpoint. */
    public interface Answer {
        void run(String job) throws CaesuraException;
    }

    public final Map<String, ListedJob> jobs = Collections.synchronizedMap(new LinkedHashMap<>());
    public final List<String> diary = Collections.synchronizedList(new ArrayList<>());
    public volatile Answer onAsk = job -> {};

    /** The call that is refused, with its job: "requeue 17". */
    public volatile String refuses = "";

    public void add(String id, String folder, JobState.Base base, String node, int userId) {
        JobState state = new JobState(base, 0, Optional.empty(), Optional.empty(), true);
        Optional<Instant> started = node.isEmpty() ? Optional.empty() : Optional.of(Instant.now());
        String user = System.getProperty("user.name");
        jobs.put(
                id,
                new ListedJob(id, folder, user, userId, "low", base.name(), node, Optional.empty(), started, state));
    }

    private void become(String id, JobState.Base base) {
        ListedJob job = jobs.get(id);
        JobState state = new JobState(base, 1, Optional.empty(), Optional.empty(), true);
        jobs.put(
                id,
                new ListedJob(
                        id,
                        job.folder(),
                        job.user(),
                        job.userId(),
                        job.partition(),
                        base.name(),
                        "",
                        job.submitted(),
                        job.started(),
                        state));
    }

    private void told(String what) throws CaesuraException {
        if (refuses.equals(what)) {
            throw new CaesuraException(ErrorCode.EPERM, "Access/permission denied: " + what);
        }
        diary.add(what);
    }

    @Override
    public String name() {
        return "slurm";
    }

    @Override
    public String cluster() {
        return "lab";
    }

    @Override
    public List<ListedJob> list(JobFilter filter) throws CaesuraException {
        for (String id : filter.ids()) {
            if (!id.matches("\\d+(_\\d+)?")) {
                throw new CaesuraException(ErrorCode.EINVAL, "not the id of a job: '" + id + "'");
            }
            if (jobs.values().stream().noneMatch(job -> isMeant(job, id))) {
                throw new CaesuraException(ErrorCode.ENOJOB, "no job " + id + " in the queue");
            }
        }
        return jobs.values().stream()
                .filter(job -> filter.ids().isEmpty() || filter.ids().stream().anyMatch(id -> isMeant(job, id)))
                .filter(job -> filter.user().isEmpty() || filter.user().get().equals(job.user()))
                .filter(job ->
                        filter.partition().isEmpty() || filter.partition().get().equals(job.partition()))
                .filter(job -> filter.node().isEmpty() || filter.node().get().equals(job.nodes()))
                .toList();
    }

    private static boolean isMeant(ListedJob job, String id) {
        return job.id().equals(id) || job.id().startsWith(id + "_");
    }

    @Override
    public JobState state(String job) throws CaesuraException {
        if (!jobs.containsKey(job)) {
            throw new CaesuraException(ErrorCode.ENOJOB, "no job " + job);
        }
        return jobs.get(job).state();
    }

    @Override
    public void drain(String node, String reason) throws CaesuraException {
        told("drain " + node + " " + reason);
    }

    @Override
    public void requeue(String job) throws CaesuraException {
        told("requeue " + job);
        become(job, JobState.Base.PENDING);
    }

    @Override
    public void hold(String job) throws CaesuraException {
        told("hold " + job);
        become(job, JobState.Base.PENDING);
    }

    @Override
    public void release(String job) throws CaesuraException {
        told("release " + job);
    }

    @Override
    public void startNow(String job) throws CaesuraException {
        told("startNow " + job);
    }

    @Override
    public void cancel(String job) throws CaesuraException {
        told("cancel " + job);
        jobs.remove(job);
    }

    @Override
    public void askCheckpoint(String job) throws CaesuraException {
        told("ask " + job);
        onAsk.run(job);
    }
}
