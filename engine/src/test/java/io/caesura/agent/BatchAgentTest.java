package io.caesura.agent;

import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.FakeCaptureEngine;
import io.caesura.fake.FakeProc;
import io.caesura.fake.FakeScheduler;
import io.caesura.flow.Host;
import io.caesura.flow.Jobs;
import io.caesura.nativelib.NativeFiles;
import io.caesura.nativelib.Sockets;
import io.caesura.policy.Policies;
import io.caesura.scheduler.BatchJob;
import io.caesura.scheduler.JobState;
import io.caesura.store.RawFiles;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The agent of a batch job, with the test as its supervisor and a batch system that is made up. */
@Timeout(60)
class BatchAgentTest {

    private static final String KEY = "00112233445566aa";
    private static final JobState REQUEUED =
            new JobState(JobState.Base.PENDING, 1, Optional.empty(), Optional.empty(), true);

    @TempDir
    Path home;

    private final RawFiles raw = new NativeFiles();
    private final FakeCaptureEngine engine = new FakeCaptureEngine(raw);
    private final FakeScheduler scheduler = new FakeScheduler();
    private final List<String> messages = Collections.synchronizedList(new ArrayList<>());
    private int[] ends = Sockets.pair();
    private Link supervisor = link(ends[0]);
    private Host host;
    private BatchAgent agent;
    private Path job;

    @BeforeEach
    void setUp() throws CaesuraException {
        host = FakeProc.host(home);
        Policies policies = new Policies(List.of());
        agent = new BatchAgent(engine, host, policies, new Jobs(raw, policies, home), scheduler, messages::add);
        job = home.resolve(".local/state/caesura/lab/17");
    }

    @AfterEach
    void close() {
        raw.close(ends[0]);
        raw.close(ends[1]);
    }

    private Link link(int end) {
        try {
            return Link.to(raw, end);
        } catch (CaesuraException e) {
            throw new IllegalStateException(e);
        }
    }

    private static BatchAgent.Order order(String spec, int restarts, boolean running) {
        BatchJob batch = new BatchJob("slurm", "17", "lab", "17");
        return new BatchAgent.Order(
                batch, spec, KEY, restarts, running, List.of("/spool/17/script", "a b"), "/work", 90 + restarts);
    }

    private CompletableFuture<Integer> start(BatchAgent.Order order) {
        return CompletableFuture.supplyAsync(() -> {
            try {
                return agent.serve(order, link(ends[1]));
            } catch (CaesuraException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    /** A new run, as of another cr_run. */
    private CompletableFuture<Integer> again(BatchAgent.Order order) {
        close();
        ends = Sockets.pair();
        supervisor = link(ends[0]);
        return start(order);
    }

    private String hear() throws CaesuraException {
        return supervisor.receive().orElse("(gone)");
    }

    private void run() throws CaesuraException {
        run(job);
    }

    private void run(Path folder) throws CaesuraException {
        assertThat(hear()).isEqualTo("job " + folder);
        supervisor.send("started " + host.ownPid());
        assertThat(hear()).isEqualTo("watch 15 23 12");
    }

    /** A first run whose time limit is near. */
    private static JobState endingIn(int seconds, boolean requeue) {
        Instant limit = Instant.now().plusSeconds(seconds);
        return new JobState(JobState.Base.RUNNING, 0, Optional.empty(), Optional.of(limit), requeue);
    }

    private static void await(BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("waited for too long").isLessThan(end);
            Thread.sleep(10);
        }
    }

    /** A first run that leaves one context behind, because it is requeued. */
    private void leaveOneContext() throws Exception {
        leaveOneContext("1h", job);
    }

    private void leaveOneContext(String spec, Path folder) throws Exception {
        CompletableFuture<Integer> done = start(order(spec, 0, false));
        run(folder);
        scheduler.state = REQUEUED;
        supervisor.send("event 15");
        assertThat(hear()).isEqualTo("end 0");
        assertThat(hear()).isEqualTo("done 15");
        supervisor.send("ended 9");
        assertThat(done.get()).isZero();
        scheduler.state = new JobState(JobState.Base.RUNNING, 1, Optional.empty(), Optional.empty(), true);
    }

    @Test
    void aRequeueSavesAndEndsTheRun() throws Exception {
        leaveOneContext();
        assertThat(job.resolve("000001/manifest.json")).content().contains("\"reason\" : \"requeue\"");
        assertThat(engine.diary).contains("signal 9");
        assertThat(scheduler.diary).containsExactly("startNow 17");
        assertThat(messages).isEmpty();
    }

    @Test
    void theNextRunGoesOnFromTheContext() throws Exception {
        leaveOneContext();
        CompletableFuture<Integer> done = again(order("1h", 1, false));
        assertThat(hear())
                .startsWith("become cr-restore --pid-namespace=auto")
                .endsWith(" -- " + job.resolve("000001/context." + host.ownPid()));
        supervisor.send("started " + host.ownPid());
        assertThat(hear()).isEqualTo("job " + job);
        assertThat(hear()).startsWith("watch");
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
        assertThat(job).doesNotExist();
    }

    @Test
    void theScriptMayHaveMoved() throws Exception {
        leaveOneContext();
        BatchAgent.Order moved = new BatchAgent.Order(
                new BatchJob("slurm", "17", "lab", "17"), "1h", KEY, 1, false, List.of("/var/n 2/script"), "/w", 7);
        CompletableFuture<Integer> done = again(moved);
        assertThat(hear()).contains(" --relocate=/spool/17/script=/var/n%202/script ");
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
    }

    @Test
    void aFailedRestartTriesTheContextBefore() throws Exception {
        leaveOneContext();
        Files.createDirectory(job.resolve("000002"));
        CompletableFuture<Integer> done = again(order("1h", 1, false));
        assertThat(hear()).contains("000001/context");
        supervisor.send("failed 13 cannot open /x");
        assertThat(hear()).isEqualTo("end 0");
        assertThat(done.get()).isZero();
        assertThat(scheduler.diary).contains("hold 17");
        assertThat(messages)
                .anyMatch(m -> m.contains("000002") && m.contains("not usable"))
                .anyMatch(m -> m.contains("no restart from " + job.resolve("000001") + ": cannot open /x"))
                .anyMatch(m -> m.contains("held"));
        assertThat(job.resolve("000001")).exists();
    }

    @Test
    void aPolicyThatIsGoneSinceDoesNotMatter() throws Exception {
        leaveOneContext("1h,store.dir=" + home.resolve("elsewhere"), home.resolve("elsewhere/lab/17"));
        CompletableFuture<Integer> done = again(order("nosuch", 1, false));
        assertThat(hear()).startsWith("become cr-restore").contains("elsewhere/lab/17/000001/context");
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
        assertThat(home.resolve("elsewhere/lab/17")).doesNotExist();
    }

    @Test
    void fromScratchIfThePolicySaysSo() throws Exception {
        leaveOneContext("1h,on-restart-failure=scratch", job);
        CompletableFuture<Integer> done = again(order("1h", 1, false));
        assertThat(hear()).startsWith("become cr-restore");
        supervisor.send("failed 13 cannot open /x");
        assertThat(hear()).isEqualTo("become cr_run a%20b");
        supervisor.send("ready");
        run();
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
        assertThat(messages).anyMatch(m -> m.contains("from the start"));
    }

    @Test
    void anotherJobOfTheSameIdIsNotOurs() throws Exception {
        leaveOneContext();
        BatchAgent.Order other = new BatchAgent.Order(
                new BatchJob("slurm", "17", "lab", "17"), "1h", "ffff", 0, false, List.of("/s"), "/w", 7);
        CompletableFuture<Integer> done = again(other);
        run();
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
        try (var names = Files.list(job.getParent())) {
            assertThat(names.map(p -> p.getFileName().toString()))
                    .singleElement()
                    .asString()
                    .startsWith("17.until-");
        }
    }

    @Test
    void anOlderRunCanNoLongerCommit() throws Exception {
        CompletableFuture<Integer> old = start(order("1h", 0, false));
        run();
        Link oldSupervisor = supervisor;
        int[] oldEnds = ends;
        ends = Sockets.pair();
        supervisor = link(ends[0]);
        CompletableFuture<Integer> young = start(order("1h", 1, false));
        run();
        scheduler.state = new JobState(JobState.Base.RUNNING, 1, Optional.empty(), Optional.empty(), true);
        oldSupervisor.send("event 15");
        assertThat(oldSupervisor.receive()).contains("forward 15");
        assertThat(messages).anyMatch(m -> m.contains("was started again"));
        assertThat(job.resolve("000001")).doesNotExist();
        raw.close(oldEnds[0]);
        assertThat(old.get()).isZero();
        raw.close(oldEnds[1]);
        supervisor.send("ended 0");
        assertThat(young.get()).isZero();
    }

    @Test
    void aFailedCheckpointLeavesTheJobItsSignal() throws Exception {
        CompletableFuture<Integer> done = start(order("1h", 0, false));
        run();
        engine.openFailure = Optional.of(new CaesuraException(ErrorCode.EUNSUPPORTED, "a camera"));
        scheduler.state = REQUEUED;
        supervisor.send("event 15");
        assertThat(hear()).isEqualTo("forward 15");
        assertThat(hear()).isEqualTo("done 15");
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
        assertThat(messages).anyMatch(m -> m.contains("requeue") && m.contains("a camera") && m.contains("beginning"));
        assertThat(job).as("a job that is queued again has not ended").exists();
    }

    @Test
    void aRequeueThatIsRefusedLetsTheJobRunOn() throws Exception {
        CompletableFuture<Integer> done = start(order("1h", 0, false));
        run();
        scheduler.state = endingIn(100, false);
        scheduler.refuses = "requeue";
        supervisor.send("event 0");
        assertThat(hear()).isEqualTo("done 0");
        assertThat(engine.diary).doesNotContain("signal 9");
        assertThat(job.resolve("000001")).as("the context is good all the same").exists();
        assertThat(messages).anyMatch(m -> m.contains("time limit") && m.contains("does not answer"));
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
    }

    @Test
    void theTimeLimitRequeues() throws Exception {
        CompletableFuture<Integer> done = start(order("1h", 0, false));
        run();
        scheduler.state = endingIn(5000, true);
        supervisor.send("event 0");
        assertThat(hear()).matches("wake 48[78]\\d");
        assertThat(hear()).isEqualTo("done 0");
        scheduler.state = endingIn(100, true);
        supervisor.send("event 0");
        assertThat(hear()).isEqualTo("end 0");
        assertThat(hear()).isEqualTo("done 0");
        assertThat(scheduler.diary).containsExactly("requeue 17", "startNow 17");
        supervisor.send("ended 9");
        assertThat(done.get()).isZero();
    }

    /** Its supervisor is about to say so: nothing was lost, and nothing is left to go on from. */
    @Test
    void aJobThatEndsByItselfBeforeItsCheckpointIsNoFailure() throws Exception {
        CompletableFuture<Integer> done = start(order("1h", 0, false));
        run();
        FakeProc.end(host, home);
        scheduler.state = endingIn(100, true);
        supervisor.send("event 0");
        assertThat(hear()).isEqualTo("done 0");
        supervisor.send("event 23");
        assertThat(hear()).isEqualTo("done 23");
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
        assertThat(messages).isEmpty();
        assertThat(job).as("it has ended with 0").doesNotExist();
    }

    /** The scheduler starts it again all the same, so what there is to go on from stays, and the next run tells. */
    @Test
    void aJobThatEndsByItselfInItsRequeueKeepsItsContexts() throws Exception {
        CompletableFuture<Integer> done = start(order("1h", 0, false));
        run();
        FakeProc.end(host, home);
        scheduler.state = REQUEUED;
        supervisor.send("event 15");
        assertThat(hear()).isEqualTo("forward 15");
        assertThat(hear()).isEqualTo("done 15");
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
        assertThat(job.resolve("note")).content().contains("no longer runs");
    }

    @Test
    void theSignalOfItsOwnRequeueFindsNothingToDo() throws Exception {
        CompletableFuture<Integer> done = start(order("1h", 0, false));
        run();
        scheduler.state = new JobState(JobState.Base.RUNNING, 0, Optional.of(Instant.now()), Optional.empty(), true);
        supervisor.send("event 12");
        scheduler.state = REQUEUED;
        supervisor.send("event 15");
        assertThat(hear()).isEqualTo("end 0");
        assertThat(hear()).isEqualTo("done 12");
        assertThat(hear()).isEqualTo("done 15");
        supervisor.send("ended 9");
        assertThat(done.get()).isZero();
        assertThat(job.resolve("note")).doesNotExist();
        assertThat(job.resolve("000002")).doesNotExist();
    }

    @Test
    void aCancelledJobGetsItsSignal() throws Exception {
        CompletableFuture<Integer> done = start(order("1h,on-cancel=delete", 0, false));
        run();
        scheduler.state = new JobState(JobState.Base.CANCELLED, 0, Optional.empty(), Optional.empty(), true);
        supervisor.send("event 15");
        assertThat(hear()).isEqualTo("forward 15");
        assertThat(hear()).isEqualTo("done 15");
        assertThat(job).doesNotExist();
        supervisor.send("ended 15");
        assertThat(done.get()).isZero();
        assertThat(engine.diary).isEmpty();
    }

    @Test
    void withoutATimerItComesForTheEventAndGoes() throws Exception {
        CompletableFuture<Integer> done = start(order("default", 0, true));
        run();
        supervisor.send("event 23");
        assertThat(hear()).isEqualTo("done 23");
        assertThat(hear()).isEqualTo("oneshot");
        assertThat(job.resolve("000001")).exists();
        raw.close(ends[0]);
        assertThat(done.get()).isZero();
        ends = Sockets.pair();
    }

    @Test
    void eventsWaitForATickThatIsUnderWay() throws Exception {
        engine.duringWrite = () -> {
            try {
                Thread.sleep(300);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        };
        CompletableFuture<Integer> done = start(order("200ms,keep=9", 0, false));
        run();
        await(() -> engine.diary.contains("write 1"));
        supervisor.send("event 23");
        assertThat(hear()).isEqualTo("done 23");
        assertThat(messages).isEmpty();
        supervisor.send("ended 256");
        assertThat(done.get()).isZero();
        assertThat(job.resolve("000002")).exists();
    }

    /** What is said at the end of a run is cut off by the roll-back of the next one, so that one says it again. */
    @Test
    void theNextRunTellsOfACheckpointThatFailed() throws Exception {
        leaveOneContext();
        CompletableFuture<Integer> done = again(order("1h", 1, false));
        assertThat(hear()).startsWith("become");
        supervisor.send("started " + host.ownPid());
        assertThat(hear()).startsWith("job ");
        assertThat(hear()).startsWith("watch");
        engine.openFailure = Optional.of(new CaesuraException(ErrorCode.EUNSUPPORTED, "a camera"));
        scheduler.state = new JobState(JobState.Base.PENDING, 2, Optional.empty(), Optional.empty(), true);
        supervisor.send("event 15");
        assertThat(hear()).isEqualTo("forward 15");
        supervisor.send("ended 15");
        assertThat(done.get()).isZero();
        messages.clear();
        done = again(order("1h", 2, false));
        assertThat(hear()).startsWith("become").contains("000001");
        supervisor.send("started " + host.ownPid());
        assertThat(hear()).startsWith("job ");
        assertThat(hear()).startsWith("watch");
        assertThat(messages).singleElement().asString().contains("requeue", "a camera", "000001");
        supervisor.send("ended 256");
        assertThat(done.get()).isZero();
        assertThat(job.resolve("note")).doesNotExist();
    }

    @Test
    void aRunThatIsKilledDuringItsCheckpointIsTold() throws Exception {
        leaveOneContext();
        engine.duringWrite = () -> {
            throw new IllegalStateException("killed");
        };
        CompletableFuture<Integer> done = again(order("1h", 1, false));
        assertThat(hear()).startsWith("become");
        supervisor.send("started " + host.ownPid());
        assertThat(hear()).startsWith("job ");
        assertThat(hear()).startsWith("watch");
        scheduler.state = new JobState(JobState.Base.PENDING, 2, Optional.empty(), Optional.empty(), true);
        supervisor.send("event 15");
        await(() -> Files.exists(job.resolve("note")));
        assertThat(job.resolve("note")).content().contains("(requeue) was not complete");
        assertThat(hear())
                .as("an error of our own does not keep the job from its signal")
                .isEqualTo("forward 15");
        supervisor.send("ended 9");
        done.get();
    }

    @Test
    void aStoreThatCannotBeReadHoldsAJobThatMayHaveContexts() throws Exception {
        Files.createDirectories(job.getParent().getParent());
        Files.writeString(job.getParent(), "in the way");
        CompletableFuture<Integer> done = start(order("1h", 1, false));
        assertThat(hear()).isEqualTo("end 0");
        assertThat(done.get()).isZero();
        assertThat(scheduler.diary).containsExactly("hold 17");
        assertThat(messages).singleElement().asString().contains("is held", "cr_job release 17");
        messages.clear();
        scheduler.refuses = "hold";
        done = again(order("1h", 1, false));
        assertThat(hear()).startsWith("error ");
        assertThat(done.get()).isNotZero();
        assertThat(messages)
                .as("the scheduler ends the run, so the reason is told before it is asked")
                .hasSize(2)
                .first()
                .asString()
                .contains("is held");
    }

    @Test
    void aBadSpecIsTold() throws Exception {
        CompletableFuture<Integer> done = start(order("nosuch", 0, false));
        assertThat(hear()).startsWith("error 208 no policy 'nosuch'");
        assertThat(done.get()).isEqualTo(208);
    }
}
