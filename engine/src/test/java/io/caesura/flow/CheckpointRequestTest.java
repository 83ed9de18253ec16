package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.fake.StoreWithJobs;
import io.caesura.scheduler.JobState;
import io.caesura.scheduler.ListedJob;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointRequestTest {

    private static final Duration LONG = Duration.ofSeconds(30);
    private static final Duration SHORT = Duration.ofMillis(300);

    @TempDir
    Path home;

    private StoreWithJobs world;
    private JobViews views;

    @BeforeEach
    void setUp() throws CaesuraException {
        world = new StoreWithJobs(home);
        views = new JobViews(user -> world.jobs);
    }

    private CheckpointRequest ask(String id) throws CaesuraException {
        ListedJob job = world.queue.jobs.get(id);
        return CheckpointRequest.ask(views, world.queue, job);
    }

    @Test
    void theContextThatComesIsTold() throws CaesuraException {
        world.running("17", "n1", true);
        world.queue.onAsk = world::checkpoint;
        Path path = ask("17").await(LONG);
        assertThat(path).isEqualTo(home.resolve(".local/state/caesura/lab/17/000001"));
        assertThat(world.queue.diary).containsExactly("ask 17");
    }

    @Test
    void oneThatWasThereBeforeIsNone() throws CaesuraException {
        world.running("17", "n1", true);
        world.checkpoint("17");
        assertFails(ErrorCode.ETIMEDOUT, "job 17 ", () -> ask("17").await(SHORT));
        world.queue.onAsk = world::checkpoint;
        assertThat(ask("17").await(LONG)).endsWith(Path.of("000002"));
    }

    @Test
    void aDamagedOneIsNone() throws CaesuraException {
        world.running("17", "n1", true);
        world.queue.onAsk = id -> {
            Path context = world.checkpoint(id);
            try {
                Files.writeString(context.resolve("manifest.json"), "{");
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        };
        assertFails(ErrorCode.ETIMEDOUT, () -> ask("17").await(SHORT));
    }

    /** Where a policy has no timer the engine makes the folder only when it is asked for something. */
    @Test
    void aFolderMayComeWithTheFirstCheckpoint() throws CaesuraException {
        world.running("17", "n1", false);
        world.queue.onAsk = id -> {
            world.makeFolder("lab", id, "default");
            world.checkpoint(id);
        };
        assertThat(ask("17").await(LONG)).endsWith(Path.of("lab/17/000001"));
    }

    @Test
    void aJobThatGivesNoSignIsNotProtected() throws CaesuraException {
        world.running("17", "n1", false);
        assertFails(ErrorCode.ENOJOB, "not protected", () -> ask("17").await(SHORT));
    }

    @Test
    void theEndOfTheJobEndsTheWaiting() throws CaesuraException {
        world.running("17", "n1", true);
        world.queue.onAsk = id -> world.queue.jobs.remove(id);
        assertFails(ErrorCode.ENOJOB, () -> ask("17").await(LONG));
    }

    @Test
    void aJobThatDoesNotRunIsNotAsked() {
        world.pending("18");
        assertFails(ErrorCode.ENOJOB, "does not run", () -> ask("18"));
        assertThat(world.queue.diary).isEmpty();
    }

    @Test
    void whereTheStoreCannotBeReadThatIsSaid() throws CaesuraException {
        world.running("17", "n1", true);
        JobViews closed = new JobViews(user -> {
            throw new CaesuraException(ErrorCode.EACCES, "cannot open /home/" + user);
        });
        CheckpointRequest request = CheckpointRequest.ask(closed, world.queue, world.queue.jobs.get("17"));
        assertThat(world.queue.diary).containsExactly("ask 17");
        assertThat(request.hidden()).hasValueSatisfying(why -> assertThat(why).contains("cannot open /home/"));
        assertFails(ErrorCode.EACCES, "cannot be seen", () -> request.await(LONG));
    }

    /** Numbers come again when a site loses its scheduler's state. */
    @Test
    void theContextsOfAFormerJobOfTheSameNumberAreNotThisOnes() throws CaesuraException, IOException {
        world.running("17", "n1", true);
        world.checkpoint("17");
        Path facts = home.resolve(".local/state/caesura/lab/17/job.json");
        Files.writeString(
                facts,
                Files.readString(facts)
                        .replaceFirst("\"created\" : \"[^\"]*\"", "\"created\" : \"2020-01-01T00:00:00Z\""));
        assertThat(views.view("lab", world.queue.jobs.get("17")).stored()).isEmpty();
    }

    @Test
    void aFolderOfAnotherUserIsNotLookedInto() throws CaesuraException {
        world.running("17", "n1", true);
        world.queue.add("17", "17", JobState.Base.RUNNING, "n1", 12345);
        JobView view = views.view("lab", world.queue.jobs.get("17"));
        assertThat(view.stored()).isEmpty();
        assertThat(view.hidden()).hasValueSatisfying(why -> assertThat(why).contains("belongs to user"));
    }
}
