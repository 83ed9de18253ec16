package io.caesura.scheduler;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** What Slurm's programs print, read by pure functions. Times are in Unix seconds: SLURM_TIME_FORMAT=%s. */
final class SlurmOutput {

    private static final Pattern PREEMPT_MODE = Pattern.compile("\\bPreemptMode=(\\S+)");

    /** Fields of squeue in which a user can put no text of his own: none can make a job look like another. */
    private static final List<String> FIELDS = List.of(
            "JobArrayID",
            "JobID",
            "UserName",
            "UserID",
            "Partition",
            "State",
            "NodeList",
            "RestartCnt",
            "PreemptTime",
            "StartTime",
            "EndTime",
            "SubmitTime",
            "Requeue");

    /** For squeue -O: every field as long as it is, ended by a bar. */
    static final String FORMAT = FIELDS.stream().map(f -> f + ":|").collect(Collectors.joining(","));

    /** Words of squeue for a job that has its nodes, and is about to run, run on or stop. */
    private static final Set<String> RUNNING = Set.of("CONFIGURING", "RESIZING", "SIGNALING", "STOPPED");

    private static final Set<String> PENDING = Set.of("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT");

    private static final Set<String> ENDING = Set.of("COMPLETING", "STAGE_OUT");

    private SlurmOutput() {}

    /** The lines of squeue with {@link #FORMAT}. */
    static List<ListedJob> jobs(String text) throws CaesuraException {
        List<ListedJob> jobs = new ArrayList<>();
        for (String line : text.lines().filter(l -> !l.isBlank()).toList()) {
            List<String> values = List.of(line.split("\\|", -1));
            if (values.size() != FIELDS.size() + 1) {
                throw unreadable("squeue", line);
            }
            Map<String, String> job = new HashMap<>();
            for (int i = 0; i < FIELDS.size(); i++) {
                job.put(FIELDS.get(i), values.get(i));
            }
            jobs.add(listed(job, line));
        }
        return jobs;
    }

    private static ListedJob listed(Map<String, String> job, String line) throws CaesuraException {
        try {
            Optional<Instant> end = time(job, "EndTime");
            String word = value(job, "State");
            JobState.Base base = base(word, end.isPresent());
            JobState state = new JobState(
                    base,
                    Integer.parseInt(value(job, "RestartCnt")),
                    time(job, "PreemptTime"),
                    hasLimit(base) ? time(job, "StartTime") : Optional.empty(),
                    hasLimit(base) ? end : Optional.empty(),
                    value(job, "Requeue").equals("1"));
            return new ListedJob(
                    value(job, "JobArrayID"),
                    value(job, "JobID"),
                    value(job, "UserName"),
                    // Ids of users are unsigned.
                    Integer.parseUnsignedInt(value(job, "UserID")),
                    value(job, "Partition"),
                    word,
                    value(job, "NodeList"),
                    time(job, "SubmitTime"),
                    time(job, "StartTime"),
                    state);
        } catch (NumberFormatException e) {
            throw unreadable("squeue", line);
        }
    }

    /**
     * The state without its flags. A job that is completing shows that flag alone. If it was requeued its end is open, else
     * it is set; which of the final states it is, squeue does not tell before it is complete.
     */
    private static JobState.Base base(String word, boolean hasEnd) {
        if (ENDING.contains(word)) {
            return hasEnd ? JobState.Base.OTHER : JobState.Base.PENDING;
        }
        if (RUNNING.contains(word)) {
            return JobState.Base.RUNNING;
        }
        return PENDING.contains(word) ? JobState.Base.PENDING : base(word);
    }

    private static JobState.Base base(String word) {
        for (JobState.Base base : JobState.Base.values()) {
            if (base.name().equals(word)) {
                return base;
            }
        }
        return JobState.Base.OTHER;
    }

    private static Map<String, String> lines(String text) {
        Map<String, String> job = new HashMap<>();
        for (String line : text.lines().toList()) {
            int equals = line.indexOf('=');
            if (equals > 0) {
                job.put(line.substring(0, equals), line.substring(equals + 1));
            }
        }
        return job;
    }

    /** The partition in the lines of slurm-job-state. */
    static String partition(String text) throws CaesuraException {
        return value(lines(text), "partition");
    }

    /** Whether `scontrol -o show partition` says that a job which it preempts is queued again. */
    static boolean requeuesPreempted(String text) {
        Matcher mode = PREEMPT_MODE.matcher(text);
        return !mode.find() || mode.group(1).contains("REQUEUE");
    }

    /** The lines key=value of slurm-job-state. */
    static JobState state(String text) throws CaesuraException {
        Map<String, String> job = lines(text);
        try {
            JobState.Base base = base(value(job, "state"));
            return new JobState(
                    base,
                    Integer.parseInt(value(job, "restart_cnt")),
                    time(job, "preempt_time"),
                    hasLimit(base) ? time(job, "start_time") : Optional.empty(),
                    hasLimit(base) ? time(job, "end_time") : Optional.empty(),
                    value(job, "requeue").equals("1"));
        } catch (NumberFormatException e) {
            throw unreadable("slurm-job-state", text.strip().replace('\n', ' '));
        }
    }

    /** Only then is the end of a job the end of its time; a pending one has the end that Slurm expects. */
    private static boolean hasLimit(JobState.Base base) {
        return base == JobState.Base.RUNNING || base == JobState.Base.SUSPENDED;
    }

    /** ClusterName in what `scontrol show config` prints; empty if it says none. */
    static Optional<String> cluster(String text) {
        return text.lines()
                .filter(line -> line.startsWith("ClusterName "))
                .map(line -> line.substring(line.indexOf('=') + 1).strip())
                .filter(name -> !name.isEmpty() && !name.equals("(null)"))
                .findFirst();
    }

    private static Optional<Instant> time(Map<String, String> job, String key) {
        String value = value(job, key);
        // squeue: N/A, NONE; the helper: 0. Slurm's words differ between fields and releases, a time begins with a
        // digit.
        return value.isEmpty() || value.equals("0") || !Character.isDigit(value.charAt(0))
                ? Optional.empty()
                : Optional.of(Instant.ofEpochSecond(Long.parseLong(value)));
    }

    private static String value(Map<String, String> job, String key) {
        String value = job.get(key);
        if (value == null) {
            throw new NumberFormatException("no " + key);
        }
        return value;
    }

    private static CaesuraException unreadable(String program, String text) {
        return new CaesuraException(
                ErrorCode.ESCHEDULER,
                program + " printed what this release does not understand: " + text,
                "please report it with the version that " + program + " --version prints");
    }
}
