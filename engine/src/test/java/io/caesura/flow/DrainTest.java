package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.StoreWithJobs;
import io.caesura.scheduler.JobState;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Requeue, hold and drain: nothing is ended before it is safe. */
class DrainTest {

    private static final Duration SHORT = Duration.ofMillis(300);

    @TempDir
    Path home;

    private final List<String> messages = new ArrayList<>();
    private StoreWithJobs world;

    @BeforeEach
    void setUp() throws CaesuraException {
        world = new StoreWithJobs(home);
        world.running("17", "n1", true);
        world.running("18", "n1", false);
        world.running("19", "n2", true);
        world.pending("20");
        world.queue.onAsk = id -> {
            if (!id.equals("18")) {
                world.checkpoint(id);
            }
        };
    }

    private Requeue requeue(boolean checkpoint, boolean force) {
        return new Requeue(
                new JobViews(user -> world.jobs), new Requeue.Terms(checkpoint, force, SHORT), messages::add);
    }

    private void run(Requeue requeue, String id, Requeue.Order order) throws CaesuraException {
        requeue.finish(requeue.begin(world.queue, world.queue.jobs.get(id)), order);
    }

    @Test
    void aJobIsRequeuedAfterItsCheckpoint() throws CaesuraException {
        run(requeue(true, false), "17", Requeue.Order.REQUEUE);
        assertThat(world.queue.diary).containsExactly("ask 17", "requeue 17");
        run(requeue(true, false), "19", Requeue.Order.HOLD);
        assertThat(world.queue.diary).endsWith("ask 19", "hold 19");
    }

    @Test
    void withoutOneItRunsOn() {
        Requeue strict = requeue(true, false);
        assertFails(ErrorCode.ENOJOB, "not requeued and runs on", () -> run(strict, "18", Requeue.Order.REQUEUE));
        assertThat(world.queue.diary).containsExactly("ask 18");
    }

    @Test
    void forceDoesItNevertheless() throws CaesuraException {
        run(requeue(true, true), "18", Requeue.Order.HOLD);
        assertThat(world.queue.diary).containsExactly("ask 18", "hold 18");
        assertThat(messages).singleElement().asString().contains("held nevertheless");
    }

    @Test
    void noCheckpointAsksForNone() throws CaesuraException {
        run(requeue(false, false), "18", Requeue.Order.REQUEUE);
        assertThat(world.queue.diary).containsExactly("requeue 18");
    }

    @Test
    void aWaitingJobIsHeldWithoutOne() throws CaesuraException {
        run(requeue(true, false), "20", Requeue.Order.HOLD);
        assertThat(world.queue.diary).containsExactly("hold 20");
    }

    @Test
    void drainRequeuesWhatIsProtectedAndNamesTheRest() throws CaesuraException {
        List<Drain.Left> left = new Drain(world.queue, requeue(true, false), messages::add).run("n1", "memory", SHORT);
        assertThat(world.queue.diary).containsExactly("drain n1 memory", "ask 17", "ask 18", "requeue 17");
        assertThat(left).singleElement().satisfies(one -> {
            assertThat(one.job().id()).isEqualTo("18");
            assertThat(one.why()).contains("not protected");
        });
        assertThat(messages)
                .anySatisfy(line -> assertThat(line).contains("job 18 ").contains("stays"));
        assertThat(Drain.notEmpty("n1", left).code()).isEqualTo(ErrorCode.EBUSY);
    }

    @Test
    void aNodeOfProtectedJobsBecomesEmpty() throws CaesuraException {
        assertThat(new Drain(world.queue, requeue(true, false), messages::add).run("n2", "memory", SHORT))
                .isEmpty();
        assertThat(world.queue.diary).containsExactly("drain n2 memory", "ask 19", "requeue 19");
    }

    /** A job that does not end in time is left too, though it was requeued. */
    @Test
    void aJobThatDoesNotEndIsLeft() throws CaesuraException {
        world.queue.add("21", "21", JobState.Base.OTHER, "n2", 0);
        List<Drain.Left> left = new Drain(world.queue, requeue(true, false), messages::add).run("n2", "memory", SHORT);
        assertThat(left).singleElement().satisfies(one -> {
            assertThat(one.job().id()).isEqualTo("21");
            assertThat(one.why()).contains("not ended");
        });
    }

    @Test
    void whoMayNotDrainChangesNothing() {
        world.queue.refuses = "drain n1 memory";
        Drain drain = new Drain(world.queue, requeue(true, false), messages::add);
        assertFails(ErrorCode.EPERM, () -> drain.run("n1", "memory", SHORT));
        assertThat(world.queue.diary).isEmpty();
    }

    @Test
    void oneJobThatIsRefusedDoesNotStopTheOthers() throws CaesuraException {
        world.running("22", "n1", true);
        world.queue.refuses = "requeue 17";
        List<Drain.Left> left = new Drain(world.queue, requeue(true, false), messages::add).run("n1", "memory", SHORT);
        assertThat(left).extracting(one -> one.job().id()).containsExactly("17", "18");
        assertThat(world.queue.diary).contains("requeue 22");
    }
}
