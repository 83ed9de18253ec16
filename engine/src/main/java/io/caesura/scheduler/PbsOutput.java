package io.caesura.scheduler;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What the programs of PBS print with -F json, read by pure functions. */
final class PbsOutput {

    /** As ctime() writes it, in the time zone of the program that printed it. */
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("EEE MMM d HH:mm:ss yyyy", Locale.ROOT);

    private static final Pattern SPAN = Pattern.compile("(\\d{1,9}):(\\d{2}):(\\d{2})");

    /** MoM reports the time used every so often; a gap that is larger is time in which the job was suspended. */
    private static final Duration REPORT_DELAY = Duration.ofMinutes(5);

    /** Numbers of substates, which are the same in OpenPBS and PBS Pro. */
    private static final int TERMINATING = 59;

    private static final int FIRST_RERUN = 60;
    private static final int LAST_RERUN = 63;
    private static final int TERMINATED = 91;

    /** Exit_status of a job that MoM ended for its walltime. */
    private static final int EXIT_WALLTIME = -29;

    private static final JsonMapper MAPPER = JsonMapper.builder().build();

    private PbsOutput() {}

    /**
     * A job as qstat shows it.
     *
     * @param id with the server's name
     * @param heldByPeople whether a user or operator holds it; a hold of the scheduler's own is part of a preemption
     */
    record Shown(String id, ListedJob job, boolean heldByPeople) {}

    /** The jobs of `qstat -f -F json`, in its order. */
    static List<Shown> jobs(String text, Instant now, ZoneId zone) throws CaesuraException {
        List<Shown> jobs = new ArrayList<>();
        // Without a job it prints no "Jobs".
        for (Map.Entry<String, JsonNode> entry :
                tree("qstat", text).path("Jobs").properties()) {
            jobs.add(shown(entry.getKey(), entry.getValue(), now, zone));
        }
        return jobs;
    }

    /** Name of the server in `qstat -B -f -F json`; job ids end in it. */
    static Optional<String> server(String text) throws CaesuraException {
        return tree("qstat", text).path("Server").properties().stream()
                .map(Map.Entry::getKey)
                .findFirst();
    }

    private static JsonNode tree(String program, String text) throws CaesuraException {
        try {
            return MAPPER.readTree(text);
        } catch (JsonProcessingException e) {
            throw unreadable(program, e.getOriginalMessage());
        }
    }

    private static Shown shown(String id, JsonNode job, Instant now, ZoneId zone) throws CaesuraException {
        String holds = job.path("Hold_Types").asText("n");
        String owner = job.path("Job_Owner").asText("");
        int at = owner.indexOf('@');
        try {
            return new Shown(
                    id,
                    new ListedJob(
                            shortId(id),
                            BatchJob.pbsName(id),
                            at < 0 ? owner : owner.substring(0, at),
                            -1,
                            job.path("queue").asText(""),
                            word(job),
                            job.path("exec_host").asText(""),
                            time(job, "qtime", zone),
                            time(job, "stime", zone),
                            state(job, now, zone)),
                    holds.contains("u") || holds.contains("o"));
        } catch (DateTimeException | ArithmeticException e) {
            throw unreadable("qstat", "job " + id + ": " + e.getMessage());
        }
    }

    /** As people write it: without the server's name. */
    static String shortId(String id) {
        int dot = id.indexOf('.');
        return dot < 0 ? id : id.substring(0, dot);
    }

    private static String word(JsonNode job) throws CaesuraException {
        String letter = letter(job);
        return job.has("substate") ? letter + " " + job.path("substate").asText() : letter;
    }

    private static String letter(JsonNode job) throws CaesuraException {
        String letter = job.path("job_state").asText("");
        if (letter.isEmpty()) {
            throw unreadable("qstat", "a job without job_state");
        }
        return letter;
    }

    private static JobState state(JsonNode job, Instant now, ZoneId zone) throws CaesuraException {
        JobState.Base base = base(letter(job), job.path("substate").asInt(0), job);
        boolean isRunning = base == JobState.Base.RUNNING || base == JobState.Base.SUSPENDED;
        return new JobState(
                base,
                // It counts starts.
                Math.max(job.path("run_count").asInt(0) - 1, 0),
                // A requeue for somebody else's sake looks like one by an operator.
                Optional.empty(),
                isRunning ? time(job, "stime", zone) : Optional.empty(),
                isRunning ? limit(job, now, zone) : Optional.empty(),
                job.path("Rerunable").asText("").equals("True"));
    }

    private static JobState.Base base(String letter, int substate, JsonNode job) {
        boolean isRerun = substate >= FIRST_RERUN && substate <= LAST_RERUN;
        return switch (letter) {
            case "Q", "H", "W", "T" -> JobState.Base.PENDING;
            case "R", "B" -> isRerun ? JobState.Base.PENDING : JobState.Base.RUNNING;
            case "S", "U" -> JobState.Base.SUSPENDED;
            case "E" ->
                isRerun ? JobState.Base.PENDING : substate == TERMINATING ? JobState.Base.CANCELLED : ended(job);
            case "F", "X" -> substate == TERMINATED ? JobState.Base.CANCELLED : ended(job);
            default -> JobState.Base.OTHER;
        };
    }

    private static JobState.Base ended(JsonNode job) {
        if (!job.has("Exit_status")) {
            return JobState.Base.OTHER;
        }
        return switch (job.path("Exit_status").asInt()) {
            case 0 -> JobState.Base.COMPLETED;
            case EXIT_WALLTIME -> JobState.Base.TIMEOUT;
            default -> JobState.Base.FAILED;
        };
    }

    /** When the walltime is used up. Time in which the job was suspended is not counted by PBS. */
    private static Optional<Instant> limit(JsonNode job, Instant now, ZoneId zone) {
        Optional<Duration> asked = span(job.path("Resource_List").path("walltime"));
        Optional<Instant> start = time(job, "stime", zone);
        if (asked.isEmpty() || start.isEmpty()) {
            return Optional.empty();
        }
        Instant simple = start.get().plus(asked.get());
        Optional<Duration> used = span(job.path("resources_used").path("walltime"));
        if (used.isPresent()
                && Duration.between(start.get(), now).minus(used.get()).compareTo(REPORT_DELAY) > 0) {
            return Optional.of(now.plus(asked.get()).minus(used.get()));
        }
        return Optional.of(simple);
    }

    private static Optional<Duration> span(JsonNode value) {
        Matcher parts = SPAN.matcher(value.asText(""));
        if (!parts.matches()) {
            return Optional.empty();
        }
        return Optional.of(Duration.ofHours(Long.parseLong(parts.group(1)))
                .plusMinutes(Long.parseLong(parts.group(2)))
                .plusSeconds(Long.parseLong(parts.group(3))));
    }

    private static Optional<Instant> time(JsonNode job, String key, ZoneId zone) {
        // A day below ten has two blanks before it.
        String text = job.path(key).asText("").replaceAll(" +", " ");
        return text.isEmpty()
                ? Optional.empty()
                : Optional.of(LocalDateTime.parse(text, TIME).atZone(zone).toInstant());
    }

    private static CaesuraException unreadable(String program, String text) {
        return new CaesuraException(
                ErrorCode.ESCHEDULER,
                program + " printed what this release does not understand: " + text,
                "please report it with the version that " + program + " --version prints");
    }
}
