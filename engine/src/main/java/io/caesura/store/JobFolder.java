package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.Manifest;
import io.caesura.model.RunIdentity;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;

/**
 * The folder of one job, held open: job.json, run.json, lock, note, and a folder NNNNNN for each context. Not thread-safe,
 * but for several objects on the same folder, also on several nodes, the lock and the fence keep order.
 */
public final class JobFolder implements AutoCloseable {

    static final String MANIFEST = "manifest.json";
    private static final String ASIDE = "aside";
    private static final String JOB = "job.json";
    private static final String RUN = "run.json";
    private static final String LOCK = "lock";
    private static final String NOTE = "note";
    private static final Duration LOCK_POLL = Duration.ofMillis(50);
    private static final Pattern SEQUENCE = Pattern.compile("\\d{6,9}");
    private static final Pattern LEFT_OVER = Pattern.compile("\\.\\d{6,9}\\.(tmp|old)");
    private static final int FOLDER = RawFiles.O_RDONLY | RawFiles.O_DIRECTORY | RawFiles.O_NOFOLLOW;

    private final RawFiles raw;
    private final DurableFiles durable;
    private final JobName job;
    private final Path path;
    private final int folder;

    JobFolder(RawFiles raw, JobName job, Path path, int folder) {
        this.raw = raw;
        this.durable = new DurableFiles(raw, true);
        this.job = job;
        this.path = path;
        this.folder = folder;
    }

    public JobName job() {
        return job;
    }

    public Path path() {
        return path;
    }

    /** Id of the user whose folder it is. */
    public int owner() throws OsException {
        return raw.stat(folder).uid();
    }

    RawFiles raw() {
        return raw;
    }

    int descriptor() {
        return folder;
    }

    public Optional<JobFacts> facts() throws CaesuraException {
        return read(JOB, JobFacts.class);
    }

    public void writeFacts(JobFacts facts) throws CaesuraException {
        durable.write(folder, JOB, Json.write(facts));
    }

    /** The current run; empty if none was ever recorded. */
    public Optional<RunIdentity> run() throws CaesuraException {
        return read(RUN, RunIdentity.class);
    }

    public void writeRun(RunIdentity run) throws CaesuraException {
        durable.write(folder, RUN, Json.write(run));
    }

    /**
     * Takes the job's lock without waiting; close it to let go. While it is held, nobody else captures or restarts the job.
     *
     * @throws CaesuraException EBUSY if somebody holds it
     */
    public Lock lock() throws CaesuraException {
        int flags = RawFiles.O_RDWR | RawFiles.O_CREAT | RawFiles.O_NOFOLLOW;
        int descriptor = raw.openAt(folder, LOCK, flags, 0600);
        boolean taken = false;
        try {
            taken = raw.tryLock(descriptor);
        } catch (OsException e) {
            if (e.errno() == Errno.ENOSYS || e.errno() == Errno.EOPNOTSUPP || e.errno() == Errno.ENOLCK) {
                throw new CaesuraException(
                        ErrorCode.ENOSYS,
                        "the file system of " + path + " has no locks",
                        "mount it with them (Lustre: -o flock), or choose another store in the policy");
            }
            throw e;
        } finally {
            if (!taken) {
                raw.close(descriptor);
            }
        }
        if (!taken) {
            throw new CaesuraException(
                    ErrorCode.EBUSY,
                    "another checkpoint or restart of job '" + job + "' is under way",
                    "wait until it is over");
        }
        return new Lock(raw, descriptor);
    }

    /**
     * The same, but waits for whoever holds it.
     *
     * @throws CaesuraException EBUSY if it is still held then
     */
    public Lock lockWithin(Duration patience) throws CaesuraException {
        long end = System.nanoTime() + patience.toNanos();
        while (true) {
            try {
                return lock();
            } catch (CaesuraException e) {
                if (e.code() != ErrorCode.EBUSY || System.nanoTime() - end >= 0) {
                    throw e;
                }
            }
            LockSupport.parkNanos(LOCK_POLL.toNanos());
        }
    }

    /** A held lock of a job. */
    public record Lock(RawFiles raw, int descriptor) implements AutoCloseable {
        @Override
        public void close() {
            raw.close(descriptor);
        }
    }

    /** Sequence numbers of the complete contexts, newest first. */
    public List<Integer> sequences() throws CaesuraException {
        List<Integer> sequences = new ArrayList<>();
        for (String name : raw.list(folder)) {
            if (SEQUENCE.matcher(name).matches()) {
                sequences.add(Integer.parseInt(name));
            }
        }
        sequences.sort(Collections.reverseOrder());
        return sequences;
    }

    /**
     * The manifest of a context whose files are there with the sizes it says.
     *
     * @throws CaesuraException ETRUNCATED or ECORRUPT if not
     */
    public Manifest manifest(int sequence) throws CaesuraException {
        String where = path.resolve(name(sequence)).resolve(MANIFEST).toString();
        int context = raw.openAt(folder, name(sequence), FOLDER, 0);
        try {
            Optional<String> text = durable.read(context, MANIFEST);
            if (text.isEmpty()) {
                throw new CaesuraException(ErrorCode.ETRUNCATED, where + " is missing");
            }
            Manifest manifest = Json.read(text.get(), Manifest.class, where);
            for (Manifest.FileEntry file : manifest.files()) {
                Optional<FileFacts> facts = raw.stat(context, file.name());
                if (file.name().contains("/") || facts.isEmpty() || !facts.get().isRegular()) {
                    throw new CaesuraException(ErrorCode.ETRUNCATED, where + ": " + file.name() + " is missing");
                }
                if (facts.get().sizeBytes() != file.sizeBytes()) {
                    throw new CaesuraException(
                            ErrorCode.ETRUNCATED,
                            "%s: %s has %d bytes instead of %d"
                                    .formatted(where, file.name(), facts.get().sizeBytes(), file.sizeBytes()));
                }
            }
            return manifest;
        } finally {
            raw.close(context);
        }
    }

    /**
     * Opens the files of a context for reading, in the order of the manifest. The caller closes them.
     */
    public int[] openFiles(int sequence, Manifest manifest) throws CaesuraException {
        int context = raw.openAt(folder, name(sequence), FOLDER, 0);
        int[] files = new int[manifest.files().size()];
        Arrays.fill(files, -1);
        boolean complete = false;
        try {
            for (int i = 0; i < files.length; i++) {
                String name = manifest.files().get(i).name();
                files[i] = raw.openAt(context, name, RawFiles.O_RDONLY | RawFiles.O_NOFOLLOW, 0);
            }
            complete = true;
            return files;
        } finally {
            raw.close(context);
            if (!complete) {
                durable.closeAll(files);
            }
        }
    }

    public void closeFiles(int[] files) {
        durable.closeAll(files);
    }

    /** Where a context is. */
    public Path contextPath(int sequence) {
        return path.resolve(name(sequence));
    }

    /**
     * Refuses a run that is no longer the newest: a scheduler can start a job again while its old copy still runs.
     *
     * @throws CaesuraException EFENCED
     */
    public void requireNewest(RunIdentity run) throws CaesuraException {
        Optional<RunIdentity> current = run();
        if (current.isPresent()
                && current.get().restartCount() >= run.restartCount()
                && !current.get().isSameRunAs(run)) {
            throw fenced(run, current.get());
        }
        for (int sequence : sequences()) {
            Optional<RunIdentity> writer = writer(sequence);
            if (writer.isPresent()) {
                if (writer.get().restartCount() > run.restartCount()) {
                    throw fenced(run, writer.get());
                }
                return;
            }
        }
    }

    /** Empty if the manifest cannot be read: then it says nothing about runs. */
    private Optional<RunIdentity> writer(int sequence) {
        try {
            return Optional.of(manifest(sequence).run());
        } catch (CaesuraException e) {
            return Optional.empty();
        }
    }

    private CaesuraException fenced(RunIdentity run, RunIdentity newer) {
        return new CaesuraException(
                ErrorCode.EFENCED,
                "job '%s' was started again on %s (run %d), so run %d of %s may no longer write contexts"
                        .formatted(job, newer.host(), newer.restartCount(), run.restartCount(), run.host()));
    }

    /** A context that somebody writes or that was left half-written. */
    public Optional<String> unfinished() throws CaesuraException {
        return raw.list(folder).stream()
                .filter(name -> LEFT_OVER.matcher(name).matches())
                .max(Comparator.naturalOrder())
                .map(name -> name.substring(1, name.lastIndexOf('.')));
    }

    /** What the job's owner is to be told at the next start; empty if nothing. */
    public Optional<String> note() throws CaesuraException {
        return durable.read(folder, NOTE).map(String::strip);
    }

    /** Leaves a note for the next start, in place of an earlier one. */
    public void writeNote(String note) throws CaesuraException {
        durable.write(folder, NOTE, note + "\n");
    }

    public void removeNote() {
        durable.removeIfPossible(folder, NOTE);
    }

    /** Removes what dead writers left. The lock has to be held: then whatever is unfinished has no writer. */
    public void removeLeftOvers() throws CaesuraException {
        for (String name : raw.list(folder)) {
            if (LEFT_OVER.matcher(name).matches()) {
                durable.removeTree(folder, name);
            }
        }
    }

    /**
     * Keeps the newest contexts and removes the others. Tails that a restart cut off (aside/) are moved to JOB/aside, as
     * they are kept until the job ends.
     */
    public void retain(int count) throws CaesuraException {
        List<Integer> sequences = sequences();
        for (int sequence : sequences.subList(Math.min(count, sequences.size()), sequences.size())) {
            // Renamed first, so that a half-removed context is never taken for a good one.
            String doomed = "." + name(sequence) + ".old";
            durable.removeTree(folder, doomed);
            raw.rename(folder, name(sequence), doomed, 0);
            saveAside(sequence, doomed);
            durable.removeTree(folder, doomed);
        }
    }

    private void saveAside(int sequence, String doomed) throws CaesuraException {
        if (raw.stat(folder, doomed + "/" + ASIDE).isEmpty()) {
            return;
        }
        if (raw.stat(folder, ASIDE).isEmpty()) {
            raw.makeFolder(folder, ASIDE, 0700);
        }
        raw.rename(folder, doomed + "/" + ASIDE, ASIDE + "/" + name(sequence), 0);
    }

    static String name(int sequence) {
        return String.format("%06d", sequence);
    }

    private <T> Optional<T> read(String name, Class<T> type) throws CaesuraException {
        Optional<String> text = durable.read(folder, name);
        if (text.isEmpty()) {
            return Optional.empty();
        }
        return Optional.of(Json.read(text.get(), type, path.resolve(name).toString()));
    }

    @Override
    public void close() {
        raw.close(folder);
    }
}
