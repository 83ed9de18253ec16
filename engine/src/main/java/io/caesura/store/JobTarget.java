package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.CaptureResult;
import io.caesura.model.Manifest;
import io.caesura.model.RunIdentity;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * The next context of a job: written as .NNNNNN.tmp, manifest last, then renamed. The caller holds the job's lock from
 * prepare() to commit().
 */
public final class JobTarget implements ContextTarget {

    private static final int FOLDER = RawFiles.O_RDONLY | RawFiles.O_DIRECTORY | RawFiles.O_NOFOLLOW;
    private static final int CHECKSUM_STEP_BYTES = 1 << 20;

    private final RawFiles raw;
    private final DurableFiles durable;
    private final JobFolder job;
    private final RunIdentity run;
    private final Order order;
    private final Fate fate = new Fate();
    private int sequence;
    private volatile int folder = -1;
    private int file = -1;
    private List<Integer> pids = List.of();

    /**
     * What the manifest has to say besides what the capture tells.
     *
     * @param reason "timer" or "request"
     * @param policy key by key
     */
    public record Order(String user, String reason, Map<String, Object> policy, boolean sync) {}

    public JobTarget(JobFolder job, RunIdentity run, Order order) {
        this.raw = job.raw();
        this.durable = new DurableFiles(raw, order.sync());
        this.job = job;
        this.run = run;
        this.order = order;
    }

    @Override
    public void prepare() throws CaesuraException {
        job.requireNewest(run);
        job.removeLeftOvers();
        List<Integer> sequences = job.sequences();
        sequence = sequences.isEmpty() ? 1 : sequences.get(0) + 1;
        raw.makeFolder(job.descriptor(), temporaryName(), 0700);
        folder = raw.openAt(job.descriptor(), temporaryName(), FOLDER, 0);
        int flags = RawFiles.O_WRONLY | RawFiles.O_CREAT | RawFiles.O_EXCL | RawFiles.O_NOFOLLOW;
        file = raw.openAt(folder, fileName(), flags, 0600);
    }

    @Override
    public boolean isPerProcess() {
        return false;
    }

    @Override
    public int[] open(int[] capturedPids) {
        pids = Arrays.stream(capturedPids).boxed().toList();
        return new int[] {file};
    }

    @Override
    public void commit(CaptureResult result) throws CaesuraException {
        durable.syncFile(file);
        // Also syncs the folder, and with it the name of the context's file.
        durable.write(folder, JobFolder.MANIFEST, Json.write(manifest(result)));
        job.requireNewest(run);
        fate.commit(name());
        boolean placed = false;
        try {
            // A rename onto a folder that is not empty fails, so nothing complete can be replaced.
            durable.replace(job.descriptor(), temporaryName(), JobFolder.name(sequence));
            placed = true;
        } finally {
            if (!placed) {
                durable.removeIfPossible(job.descriptor(), temporaryName());
            }
        }
    }

    private Manifest manifest(CaptureResult result) throws CaesuraException {
        Manifest.Cost cost = new Manifest.Cost(
                result.pause().toNanos() / 1e6,
                result.freeze().toNanos() / 1e6,
                result.collect().toNanos() / 1e6,
                result.pageBytes(),
                result.fileBytes(),
                result.totalBytes(),
                result.threads());
        return new Manifest(
                Manifest.FORMAT,
                job.job().value(),
                sequence,
                result.setId(),
                Instant.now().toString(),
                order.user(),
                order.reason(),
                run,
                order.policy(),
                pids,
                cost,
                List.of(describeFile()));
    }

    private Manifest.FileEntry describeFile() throws CaesuraException {
        int readable = raw.openAt(folder, fileName(), RawFiles.O_RDONLY | RawFiles.O_NOFOLLOW, 0);
        try (FileChannel channel = FileChannel.open(Path.of("/proc/self/fd/" + readable))) {
            CRC32C checksum = new CRC32C();
            ByteBuffer buffer = ByteBuffer.allocateDirect(CHECKSUM_STEP_BYTES);
            long size = 0;
            while (channel.read(buffer) >= 0) {
                buffer.flip();
                size += buffer.remaining();
                checksum.update(buffer);
                buffer.clear();
            }
            return new Manifest.FileEntry(fileName(), size, "%08x".formatted(checksum.getValue()));
        } catch (IOException e) {
            throw new CaesuraException(ErrorCode.EIO, "cannot read back " + name() + ": " + e.getMessage());
        } finally {
            raw.close(readable);
        }
    }

    @Override
    public void abort() {
        if (folder >= 0 && fate.abort()) {
            durable.removeIfPossible(job.descriptor(), temporaryName());
        }
    }

    /** The number of the context; known after prepare(). */
    public int sequence() {
        return sequence;
    }

    @Override
    public String name() {
        return job.contextPath(sequence).toString();
    }

    @Override
    public String path() {
        return job.contextPath(sequence).resolve(fileName()).toString();
    }

    @Override
    public void close() {
        durable.closeAll(file, folder);
        file = -1;
        folder = -1;
    }

    private String temporaryName() {
        return "." + JobFolder.name(sequence) + ".tmp";
    }

    private String fileName() {
        return "context." + run.initPid();
    }
}
