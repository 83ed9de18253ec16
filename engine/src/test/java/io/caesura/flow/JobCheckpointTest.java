package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.FakeCaptureEngine;
import io.caesura.fake.FakeProc;
import io.caesura.fake.Faults;
import io.caesura.model.CaptureRequest;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.Manifest;
import io.caesura.model.RunIdentity;
import io.caesura.model.ScopeKind;
import io.caesura.nativelib.NativeFiles;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.store.JobFolder;
import io.caesura.store.JobStore;
import io.caesura.store.RawFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Contexts of jobs: writing them, keeping some, finding the newest good one, and who may write. */
class JobCheckpointTest {

    private Policy policy;

    @TempDir
    Path top;

    private final RawFiles raw = new NativeFiles();
    private final FakeCaptureEngine engine = new FakeCaptureEngine(raw);
    private final List<String> notes = new ArrayList<>();
    private Host host;
    private RunIdentity run;
    private JobFolder job;
    private Path path;

    @BeforeEach
    void start() throws CaesuraException {
        host = FakeProc.host(top);
        policy = new Policies(List.of()).resolve("copy-limit=1M,track=job-folder,track=/data,on-exit=keep");
        job = new JobStore(raw, top.resolve("store"), JobStore.LOCAL).create(JobName.parse("sim"));
        path = top.resolve("store/local/sim");
        job.writeFacts(new JobFacts("sim", "default", Map.of(), List.of("./sim"), "/work/here", "me", "now", null));
        run = run(0);
        job.writeRun(run);
    }

    @AfterEach
    void close() {
        job.close();
    }

    private RunIdentity run(int restartCount) {
        long ticks = host.startTicks(host.ownPid()).orElseThrow();
        return new RunIdentity(restartCount, host.name(), host.bootId(), host.ownPid(), ticks, 99, null);
    }

    private JobCheckpoint.Done checkpoint(JobFolder folder, RunIdentity by, int signal) throws CaesuraException {
        Checkpoint steps = new Checkpoint(engine, (level, line) -> {}, (done, total) -> {});
        return new JobCheckpoint(steps, policy, host).run(folder, by, "request", signal, target -> {});
    }

    private JobCheckpoint.Done checkpoint() throws CaesuraException {
        return checkpoint(job, run, 0);
    }

    private FindContext.Found find() throws CaesuraException {
        return new FindContext(engine, notes::add).newestGood(job);
    }

    private static List<String> names(Path where) throws IOException {
        try (Stream<Path> entries = Files.list(where)) {
            return entries.map(p -> p.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void asksForTheWholeJobButNotForTheStore() throws CaesuraException {
        checkpoint();
        CaptureRequest request = engine.requests.get(0);
        assertThat(request.scope().kind()).isEqualTo(ScopeKind.JOB);
        assertThat(request.scope().id()).isEqualTo(run.initPid());
        assertThat(request.excludePid()).isEqualTo(host.ownPid());
        assertThat(request.track()).containsExactly("/work/here", "/data");
        assertThat(request.excludePath()).isEqualTo(path.toString());
    }

    @Test
    void writesAContextThatOnlyItsUserCanRead() throws CaesuraException, IOException {
        checkpoint();
        String file = "context." + run.initPid();
        assertThat(names(path)).containsExactly("000001", "job.json", "lock", "run.json");
        assertThat(names(path.resolve("000001"))).containsExactly(file, "manifest.json");
        assertThat(Files.getPosixFilePermissions(path.resolve("000001")))
                .isEqualTo(PosixFilePermissions.fromString("rwx------"));
        for (String name : List.of(file, "manifest.json")) {
            assertThat(Files.getPosixFilePermissions(path.resolve("000001").resolve(name)))
                    .isEqualTo(PosixFilePermissions.fromString("rw-------"));
        }
    }

    @Test
    void theManifestSaysWhoWhereWhyAndWhatItCost() throws CaesuraException {
        checkpoint();
        Manifest manifest = job.manifest(1);
        assertThat(manifest.job()).isEqualTo("sim");
        assertThat(manifest.run()).isEqualTo(run);
        assertThat(manifest.reason()).isEqualTo("request");
        assertThat(manifest.setId()).isEqualTo("00ff".repeat(8));
        assertThat(manifest.pids()).containsExactly(7, 8, 9);
        assertThat(manifest.policy()).containsEntry("keep", 2);
        assertThat(manifest.cost().pauseMs()).isEqualTo(12.0);
        assertThat(manifest.cost().totalBytes()).isEqualTo(5000);
        // CRC-32C of "whole context\n", as other tools give it.
        assertThat(manifest.files())
                .containsExactly(new Manifest.FileEntry("context." + run.initPid(), 14, "87151d74"));
    }

    @Test
    void keepsAsManyAsThePolicySays() throws CaesuraException, IOException {
        for (int i = 1; i <= 4; i++) {
            assertThat(checkpoint().sequence()).isEqualTo(i);
        }
        assertThat(names(path)).containsExactly("000003", "000004", "job.json", "lock", "run.json");
    }

    @Test
    void keepsTailsThatARestartCutOff() throws CaesuraException, IOException {
        checkpoint();
        Files.createDirectory(path.resolve("000001/aside"));
        Files.writeString(path.resolve("000001/aside/tail"), "precious");
        checkpoint();
        checkpoint();
        assertThat(path.resolve("000001")).doesNotExist();
        assertThat(path.resolve("aside/000001/tail")).hasContent("precious");
    }

    @Test
    void aFailedCheckpointLeavesTheFormerOnes() throws CaesuraException, IOException {
        checkpoint();
        engine.writeFailure = Optional.of(new CaesuraException(ErrorCode.ENOSPC, "full"));
        assertFails(ErrorCode.ENOSPC, this::checkpoint);
        assertThat(names(path)).containsExactly("000001", "job.json", "lock", "run.json");
        assertThat(find().sequence()).isEqualTo(1);
    }

    @Test
    void powerFailureAtAnyMomentLeavesAGoodContext() throws CaesuraException, IOException {
        checkpoint();
        int change = 0;
        boolean completed = false;
        while (!completed) {
            Faults faults = new Faults(raw);
            faults.failPowerBefore(change++);
            JobFolder failing = new JobStore(faults.files(), top.resolve("store"), JobStore.LOCAL)
                    .open(JobName.parse("sim"))
                    .orElseThrow();
            try {
                checkpoint(failing, run, 0);
                completed = true;
            } catch (Faults.PowerFailure e) {
                assertThat(find().manifest().job()).isEqualTo("sim");
            }
        }
        assertThat(change)
                .as("the flow changes something more than a few times")
                .isGreaterThan(8);
        assertThat(notes).isEmpty();
        // The next one tidies up.
        checkpoint();
        assertThat(names(path)).noneMatch(name -> name.startsWith("."));
        assertThat(names(path)).filteredOn(name -> name.startsWith("0")).hasSize(2);
    }

    @Test
    void findsTheNewest() throws CaesuraException {
        checkpoint();
        checkpoint();
        FindContext.Found found = find();
        assertThat(found.sequence()).isEqualTo(2);
        assertThat(found.files()).containsExactly(path.resolve("000002/context." + run.initPid()));
    }

    @Test
    void goesBackToTheOneBeforeADamagedOne() throws CaesuraException, IOException {
        checkpoint();
        checkpoint();
        Files.writeString(path.resolve("000002/context." + run.initPid()), "whole cXntext\n");
        assertThat(find().sequence()).isEqualTo(1);
        assertThat(notes).hasSize(1).first().asString().contains("000002").contains("checksum");
    }

    @Test
    void goesBackFromATruncatedOne() throws CaesuraException, IOException {
        checkpoint();
        checkpoint();
        Files.writeString(path.resolve("000002/context." + run.initPid()), "whole");
        assertThat(find().sequence()).isEqualTo(1);
        assertThat(notes.get(0)).contains("5 bytes instead of 14");
    }

    @Test
    void goesBackFromOneWithoutAReadableManifest() throws CaesuraException, IOException {
        checkpoint();
        checkpoint();
        Files.writeString(path.resolve("000002/manifest.json"), "{\"format\": 1, \"job\": \"sim\"");
        assertThat(find().sequence()).isEqualTo(1);
        Files.delete(path.resolve("000002/manifest.json"));
        assertThat(find().sequence()).isEqualTo(1);
        assertThat(notes).hasSize(2);
    }

    @Test
    void saysThatThereIsNoGoodContext() throws CaesuraException, IOException {
        assertFails(ErrorCode.ENOJOB, "no context yet", this::find);
        checkpoint();
        Files.writeString(path.resolve("000001/context." + run.initPid()), "");
        assertFails(ErrorCode.ENOJOB, "none of the 1", this::find);
    }

    @Test
    void neverFollowsALinkInTheStore() throws CaesuraException, IOException {
        checkpoint();
        Path file = path.resolve("000001/context." + run.initPid());
        Files.move(file, top.resolve("elsewhere"));
        Files.createSymbolicLink(file, top.resolve("elsewhere"));
        assertFails(ErrorCode.ENOJOB, this::find);
        Files.move(path.resolve("000001"), top.resolve("outside"));
        Files.createSymbolicLink(path.resolve("000001"), top.resolve("outside"));
        assertFails(ErrorCode.ENOJOB, this::find);
    }

    @Test
    void anOlderRunMayNotCommit() throws CaesuraException, IOException {
        job.writeRun(run(1));
        assertFails(ErrorCode.EFENCED, this::checkpoint);
        assertThat(engine.diary).isEmpty();
        assertThat(names(path)).containsExactly("job.json", "lock", "run.json");
    }

    @Test
    void aRunThatIsOvertakenWhileItWritesMayNotCommit() throws IOException {
        engine.duringWrite = () -> {
            try {
                job.writeRun(run(1));
            } catch (CaesuraException e) {
                throw new IllegalStateException(e);
            }
        };
        assertFails(ErrorCode.EFENCED, this::checkpoint);
        assertThat(names(path)).containsExactly("job.json", "lock", "run.json");
    }

    @Test
    void aRunIsAlsoFencedByAContextOfANewerOne() throws CaesuraException, IOException {
        job.writeRun(run(3));
        checkpoint(job, run(3), 0);
        Files.delete(path.resolve("run.json"));
        assertFails(ErrorCode.EFENCED, () -> checkpoint(job, run(2), 0));
    }

    @Test
    void anotherRunWithTheSameCountIsFenced() throws CaesuraException {
        RunIdentity twin = new RunIdentity(0, "other-node", "other-boot", 5, 5, 5, null);
        job.writeRun(twin);
        assertFails(ErrorCode.EFENCED, "other-node", this::checkpoint);
    }

    @Test
    void onlyOneCapturesAJobAtATime() throws CaesuraException {
        try (JobFolder.Lock lock = job.lock()) {
            assertFails(ErrorCode.EBUSY, this::checkpoint);
        }
        assertThat(checkpoint().sequence()).isEqualTo(1);
    }

    @Test
    void whoHasPatienceWaitsForTheOther() throws Exception {
        JobFolder.Lock other = job.lock();
        CompletableFuture<Void> end =
                CompletableFuture.runAsync(other::close, CompletableFuture.delayedExecutor(300, TimeUnit.MILLISECONDS));
        try (JobFolder.Lock ours = job.lockWithin(Duration.ofSeconds(60))) {
            assertThat(end.isDone() || ours.descriptor() >= 0).isTrue();
        }
        end.get();
        JobFolder.Lock held = job.lock();
        assertFails(ErrorCode.EBUSY, () -> job.lockWithin(Duration.ofMillis(200)));
        held.close();
    }

    @Test
    void saysWhenTheFileSystemHasNoLocks() throws CaesuraException {
        Faults faults = new Faults(raw);
        faults.fail(38, "tryLock");
        JobFolder folder = new JobStore(faults.files(), top.resolve("store"), JobStore.LOCAL)
                .open(JobName.parse("sim"))
                .orElseThrow();
        assertFails(ErrorCode.ENOSYS, "no locks", folder::lock);
        folder.close();
    }

    @Test
    void aJobThatIsGoneIsNotCaptured() throws CaesuraException {
        RunIdentity ended = run.withEnd(0);
        job.writeRun(ended);
        assertFails(ErrorCode.ENOJOB, "has ended", () -> checkpoint(job, ended, 0));
        assertThat(engine.diary).isEmpty();
    }

    @Test
    void theManifestIsOnDiskBeforeASignal() throws CaesuraException {
        engine.signalFailure = Optional.of(new CaesuraException(ErrorCode.EPERM, "x"));
        assertThatThrownBy(() -> checkpoint(job, run, 9)).hasMessage("x");
        assertThat(find().sequence()).isEqualTo(1);
        assertThat(engine.diary).containsExactly("freeze", "write 1", "signal 9", "release and close");
    }

    @Test
    void storesHaveOneJobOfAName() throws CaesuraException {
        JobStore store = new JobStore(raw, top.resolve("store"), JobStore.LOCAL);
        assertFails(ErrorCode.EEXIST, "sim", () -> store.create(JobName.parse("sim")));
        store.create(JobName.parse("another")).close();
        assertThat(store.jobs()).containsExactly(JobName.parse("another"), JobName.parse("sim"));
        store.remove(JobName.parse("sim"));
        assertThat(store.open(JobName.parse("sim"))).isEmpty();
        assertThat(new JobStore(raw, top.resolve("none"), JobStore.LOCAL).jobs())
                .isEmpty();
    }

    @Test
    void aJobFolderThatOthersMayWriteIsNotTrusted() throws IOException {
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwxrwxrwx"));
        JobStore store = new JobStore(raw, top.resolve("store"), JobStore.LOCAL);
        assertFails(ErrorCode.EUNTRUSTED, () -> store.open(JobName.parse("sim")));
    }

    @Test
    void noJobIsMadeWhereAnotherUserCouldReplaceIt() throws IOException {
        Path cluster = top.resolve("store/local");
        JobStore store = new JobStore(raw, top.resolve("store"), JobStore.LOCAL);
        Files.setPosixFilePermissions(cluster, PosixFilePermissions.fromString("rwxrwxrwx"));
        assertFails(ErrorCode.EUNTRUSTED, "may write in " + cluster, () -> store.create(JobName.parse("other")));
        assertThat(cluster.resolve("other")).doesNotExist();
        Files.setPosixFilePermissions(cluster, PosixFilePermissions.fromString("rwx------"));
        Assumptions.assumeTrue((Integer) Files.getAttribute(cluster, "unix:uid") == 0, "only root can give it away");
        Files.setAttribute(cluster, "unix:uid", 65534);
        assertFails(ErrorCode.EUNTRUSTED, "user 65534", () -> store.create(JobName.parse("other")));
    }

    @Test
    void aLinkIsNoJobFolder() throws IOException {
        Files.createSymbolicLink(top.resolve("store/local/link"), path);
        JobStore store = new JobStore(raw, top.resolve("store"), JobStore.LOCAL);
        assertThatThrownBy(() -> store.open(JobName.parse("link"))).isInstanceOf(CaesuraException.class);
    }
}
