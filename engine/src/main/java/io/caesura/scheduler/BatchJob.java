package io.caesura.scheduler;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * The job that a process belongs to, as its batch system tells it.
 *
 * @param id as the scheduler's commands take it
 * @param cluster name of the cluster; jobs of two clusters may have the same id
 * @param name of the job's folder: the id, or id and step for a step that is a job of its own
 */
public record BatchJob(String scheduler, String id, String cluster, String name) {

    /** Both become names of folders. */
    private static final Pattern SAFE = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]*");

    public static final String SLURM = "slurm";
    public static final String PBS = "pbs";

    public BatchJob {
        if (!SAFE.matcher(cluster).matches() || !SAFE.matcher(name).matches()) {
            throw new IllegalArgumentException("job " + name + " of cluster " + cluster);
        }
    }

    /** Step ids from here on stand for the batch script and the like. */
    private static final long FIRST_SPECIAL_STEP = 0xfffffff0L;

    /**
     * Reads the environment of a job.
     *
     * @throws CaesuraException EENGINE if it is not that of a job of this scheduler
     */
    public static BatchJob of(String scheduler, Map<String, String> environment) throws CaesuraException {
        return switch (scheduler) {
            case SLURM -> {
                String id = safe(variable(environment, "SLURM_JOB_ID"));
                String cluster = safe(environment.getOrDefault("SLURM_CLUSTER_NAME", SLURM));
                yield new BatchJob(
                        scheduler,
                        id,
                        cluster,
                        step(environment).map(step -> id + "." + step).orElse(id));
            }
            case PBS -> {
                // 12.server, 12[3].server
                String id = variable(environment, "PBS_JOBID");
                int dot = id.indexOf('.');
                String server = dot < 0 ? PBS : id.substring(dot + 1);
                yield new BatchJob(scheduler, id, server, pbsName(id));
            }
            default -> throw new CaesuraException(ErrorCode.EENGINE, "unknown batch system '" + scheduler + "'");
        };
    }

    /** Name of the folder of a job of PBS: 12 for 12.server, 12_3 for 12[3].server. */
    static String pbsName(String id) {
        int dot = id.indexOf('.');
        String number = dot < 0 ? id : id.substring(0, dot);
        return number.replace('[', '_').replace("]", "");
    }

    private static Optional<String> step(Map<String, String> environment) {
        return Optional.ofNullable(environment.get("SLURM_STEP_ID"))
                .filter(step -> step.matches("\\d{1,10}") && Long.parseLong(step) < FIRST_SPECIAL_STEP);
    }

    private static String variable(Map<String, String> environment, String name) throws CaesuraException {
        String value = environment.getOrDefault(name, "");
        if (value.isEmpty()) {
            throw new CaesuraException(ErrorCode.EENGINE, name + " is not set: this is no job of the batch system");
        }
        return value;
    }

    private static String safe(String text) throws CaesuraException {
        if (!SAFE.matcher(text).matches()) {
            throw new CaesuraException(ErrorCode.EENGINE, "'" + text + "' is no name of a job or cluster");
        }
        return text;
    }
}
