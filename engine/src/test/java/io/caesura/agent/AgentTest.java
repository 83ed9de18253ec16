package io.caesura.agent;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.FakeCaptureEngine;
import io.caesura.fake.FakeProc;
import io.caesura.flow.Host;
import io.caesura.flow.Jobs;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import io.caesura.nativelib.NativeFiles;
import io.caesura.nativelib.Sockets;
import io.caesura.policy.Policies;
import io.caesura.store.JobFolder;
import io.caesura.store.JobStore;
import io.caesura.store.RawFiles;
import java.nio.file.Files;
import java.nio.file.Path;
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

/** The agent, with the test as its supervisor. */
@Timeout(60)
class AgentTest {

    @TempDir
    Path home;

    private final RawFiles raw = new NativeFiles();
    private final FakeCaptureEngine engine = new FakeCaptureEngine(raw);
    private final List<String> messages = Collections.synchronizedList(new ArrayList<>());
    private final int[] ends = Sockets.pair();
    private final Link supervisor = link(ends[0]);
    private Host host;
    private Agent agent;

    @BeforeEach
    void setUp() throws CaesuraException {
        host = FakeProc.host(home);
        Policies policies = new Policies(List.of(home.resolve("policies")));
        agent = new Agent(engine, host, policies, new Jobs(raw, policies, home), messages::add);
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

    @Test
    void speaksToASocketOnly() throws CaesuraException {
        Path precious = home.resolve("precious");
        int file = raw.openAt(RawFiles.AT_FDCWD, precious.toString(), RawFiles.O_RDWR | RawFiles.O_CREAT, 0600);
        assertFails(ErrorCode.EENGINE, "not the supervisor", () -> Link.to(raw, file));
        raw.close(file);
    }

    private Agent.Order order(String spec, String name) {
        return new Agent.Order(
                Optional.of(spec), Optional.ofNullable(name), Optional.empty(), List.of("./sim"), "/work", 99);
    }

    private Agent.Order restart(Path job) {
        return new Agent.Order(Optional.empty(), Optional.empty(), Optional.of(job), List.of("./sim"), "/work", 100);
    }

    private CompletableFuture<Integer> start(Agent.Order order) {
        return CompletableFuture.supplyAsync(() -> {
            try {
                return agent.serve(order, link(ends[1]));
            } catch (CaesuraException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    private Path awaitJob() throws CaesuraException {
        String line = supervisor.receive().orElseThrow();
        assertThat(line).startsWith("job /");
        return Path.of(line.substring(4));
    }

    private static void await(BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("waited for too long").isLessThan(end);
            Thread.sleep(10);
        }
    }

    private RunIdentity run(Path job) throws CaesuraException {
        try (JobFolder folder = new JobStore(raw, job.getParent().getParent(), JobStore.LOCAL)
                .open(JobName.parse(job.getFileName().toString()))
                .orElseThrow()) {
            return folder.run().orElseThrow();
        }
    }

    @Test
    void checkpointsOnItsTimerAndKeepsWhatThePolicySays() throws Exception {
        CompletableFuture<Integer> done = start(order("200ms,keep=2", "sim"));
        Path job = awaitJob();
        assertThat(job).isEqualTo(home.resolve(".local/state/caesura/local/sim"));
        assertThat(engine.diary).as("nothing happens before the job runs").isEmpty();
        supervisor.send("started " + host.ownPid());
        await(() -> Files.exists(job.resolve("000003")));
        assertThat(run(job).initPid()).isEqualTo(host.ownPid());
        assertThat(run(job).supervisorPid()).isEqualTo(99);
        supervisor.send("ended 256");
        assertThat(done.get()).isZero();
        assertThat(run(job).ended()).isEqualTo(256);
        assertThat(job.resolve("000001")).doesNotExist();
        assertThat(messages).isEmpty();
    }

    @Test
    void aSuccessfulEndRemovesTheJob() throws Exception {
        CompletableFuture<Integer> done = start(order("100ms", "sim"));
        Path job = awaitJob();
        supervisor.send("started " + host.ownPid());
        await(() -> Files.exists(job.resolve("000001")));
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
        assertThat(job).doesNotExist();
    }

    @Test
    void withoutATimerItGoesAway() throws Exception {
        CompletableFuture<Integer> done = start(order("default", "sim"));
        Path job = awaitJob();
        supervisor.send("started " + host.ownPid());
        assertThat(supervisor.receive()).contains("oneshot");
        assertThat(done.get()).isZero();
        assertThat(host.isAlive(run(job))).isTrue();
        Files.createDirectories(home.resolve("policies"));
        Files.writeString(home.resolve("policies/default.yaml"), "broken since the job was started");
        agent.finish(job, 15);
        assertThat(run(job).ended()).isEqualTo(15);
        agent.finish(job, 0);
        assertThat(job).doesNotExist();
    }

    @Test
    void aJobWithoutANameGetsOne() throws Exception {
        CompletableFuture<Integer> done = start(order("default", null));
        assertThat(awaitJob().getFileName().toString()).matches(".+-99-\\d{10,}");
        supervisor.send("ended 0");
        assertThat(done.get()).isZero();
    }

    @Test
    void refusesABadSpec() throws Exception {
        CompletableFuture<Integer> done = start(order("colour=red", "sim"));
        assertThat(supervisor.receive()).hasValueSatisfying(line -> assertThat(line)
                .startsWith("error 208 --checkpoint=colour=red: unknown key 'colour'"));
        assertThat(done.get()).isEqualTo(208);
        assertThat(home.resolve(".local")).doesNotExist();
    }

    @Test
    void refusesANameThatIsTaken() throws Exception {
        CompletableFuture<Integer> first = start(order("default", "sim"));
        awaitJob();
        supervisor.send("ended 256");
        assertThat(first.get()).isZero();
        CompletableFuture<Integer> second = start(order("default", "sim"));
        assertThat(supervisor.receive())
                .hasValueSatisfying(line ->
                        assertThat(line).startsWith("error 17 job 'sim' exists").contains("cr_restart --job sim"));
        assertThat(second.get()).isEqualTo(17);
    }

    @Test
    void aRestartIsANewRunAndFencesTheOldOne() throws Exception {
        CompletableFuture<Integer> first = start(order("1h", "sim"));
        Path job = awaitJob();
        supervisor.send("started " + host.ownPid());
        await(() -> {
            try {
                return run(job).initPid() != 0;
            } catch (CaesuraException e) {
                throw new IllegalStateException(e);
            }
        });
        RunIdentity old = run(job);
        supervisor.send("ended 9");
        first.get();
        CompletableFuture<Integer> second = start(restart(job));
        assertThat(awaitJob()).isEqualTo(job);
        assertThat(run(job).restartCount()).isEqualTo(1);
        assertThat(run(job).ended()).isNull();
        try (JobFolder folder = new JobStore(raw, job.getParent().getParent(), JobStore.LOCAL)
                .open(JobName.parse("sim"))
                .orElseThrow()) {
            assertFails(ErrorCode.EFENCED, () -> folder.requireNewest(old));
        }
        supervisor.send("started " + host.ownPid());
        supervisor.send("ended 256");
        assertThat(second.get()).isZero();
    }

    @Test
    void aFailureIsToldOnceAndTheNextTickTriesAgain() throws Exception {
        engine.writeFailure = Optional.of(new CaesuraException(ErrorCode.ENOSPC, "store full", "make room"));
        CompletableFuture<Integer> done = start(order("50ms", "sim"));
        Path job = awaitJob();
        supervisor.send("started " + host.ownPid());
        await(() -> engine.diary.stream().filter(d -> d.startsWith("write")).count() > 3);
        assertThat(messages).containsExactly("caesura: checkpoint of job 'sim' failed: store full", "hint: make room");
        engine.writeFailure = Optional.empty();
        await(() -> messages.size() > 2);
        assertThat(messages.get(2)).isEqualTo("caesura: checkpoints of job 'sim' succeed again");
        supervisor.send("ended 256");
        done.get();
        assertThat(job).exists();
    }

    @Test
    void theContextsStayWhenTheSupervisorIsGone() throws Exception {
        CompletableFuture<Integer> done = start(order("100ms", "sim"));
        Path job = awaitJob();
        supervisor.send("started " + host.ownPid());
        await(() -> Files.exists(job.resolve("000001")));
        raw.close(ends[0]);
        assertThat(done.get()).isZero();
        assertThat(run(job).ended()).isNull();
        assertThat(job.resolve("000001/manifest.json")).exists();
    }
}
