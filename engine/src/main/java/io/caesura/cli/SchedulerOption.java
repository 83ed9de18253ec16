package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.JobSelection;
import io.caesura.flow.JobView;
import io.caesura.flow.JobViews;
import io.caesura.flow.LocalQueue;
import io.caesura.scheduler.JobFilter;
import io.caesura.scheduler.JobQueue;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** Whose jobs are meant. */
@Section("Scheduler")
final class SchedulerOption {

    private static final String AUTO = "auto";
    private static final String LOCAL = "local";

    @Option(
            names = "--scheduler",
            paramLabel = "NAME",
            description =
                    "slurm, pbs: jobs of that batch system; local: those of cr_run on this host; auto (default): those "
                            + "of the batch system, if there is one, and local ones.")
    private String name = AUTO;

    /** The schedulers that are asked, the batch system first. */
    List<JobQueue> queues(Services services) throws CaesuraException {
        List<JobQueue> queues = new ArrayList<>();
        if (!name.equals(LOCAL)) {
            queues.addAll(services.batchQueues());
        }
        if (name.equals(LOCAL) || name.equals(AUTO)) {
            queues.add(new LocalQueue(services.engine(), services.policies(), services.jobs(), services.host()));
        }
        if (name.equals(AUTO)) {
            return queues;
        }
        queues.removeIf(queue -> !queue.name().equals(name));
        if (queues.isEmpty()) {
            throw new CaesuraException(
                    ErrorCode.ESCHEDULER,
                    "there is no batch system '" + name + "' on this host",
                    "slurm needs scontrol in PATH and a slurm.conf, pbs a pbs.conf; SLURM_CONF and PBS_CONF_FILE may "
                            + "name one");
        }
        return queues;
    }

    /** The batch system alone. */
    JobQueue batchQueue(Services services) throws CaesuraException {
        return queues(services).get(0);
    }

    JobSelection selection(Services services) throws CaesuraException {
        return new JobSelection(queues(services));
    }

    /** What is known of the jobs that a filter names. */
    List<JobView> look(Services services, JobFilter filter) throws CaesuraException {
        JobViews views = views(services);
        List<JobView> found = new ArrayList<>();
        for (JobSelection.Selected selected : selection(services).select(filter)) {
            found.add(views.view(selected.queue().cluster(), selected.job()));
        }
        return found;
    }

    static JobViews views(Services services) {
        return new JobViews(services::jobsOf);
    }
}
