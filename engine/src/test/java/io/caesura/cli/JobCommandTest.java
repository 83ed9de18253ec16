package io.caesura.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.caesura.error.CaesuraException;
import io.caesura.fake.StoreWithJobs;
import io.caesura.model.JobFacts;
import io.caesura.model.RunIdentity;
import io.caesura.store.JobFolder;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** cr_job as it is called, with a made-up batch system and real folders. */
class JobCommandTest {

    @TempDir
    Path home;

    private StoreWithJobs world;
    private CommandFixture fixture;

    @BeforeEach
    void setUp() throws CaesuraException {
        world = new StoreWithJobs(home);
        fixture = new CommandFixture(home);
        fixture.queues.add(world.queue);
        world.running("17", "n1", true);
        world.running("18", "n1", false);
        world.pending("20");
        world.queue.onAsk = id -> {
            if (!id.equals("18")) {
                world.checkpoint(id);
            }
        };
    }

    private int run(String... args) {
        String[] words = new String[args.length + 1];
        words[0] = "cr_job";
        System.arraycopy(args, 0, words, 1, args.length);
        return fixture.run(words);
    }

    private JsonNode json() throws IOException {
        return JsonMapper.builder().build().readTree(fixture.out());
    }

    @Test
    void listIsATableOfTheUsersJobs() throws CaesuraException {
        world.checkpoint("17");
        assertThat(run("list")).isZero();
        List<String> lines = fixture.out().lines().toList();
        assertThat(lines.get(0)).matches("JOB +USER +PARTITION +STATE +NODE +RESTARTS +CONTEXTS +AGE +SIZE +POLICY");
        assertThat(lines.get(1)).matches("17 +\\S+ +low +RUNNING +n1 +0 +1 +\\d+s +.*B +30m,on-cancel=delete");
        assertThat(lines.get(2)).matches("18 +\\S+ +low +RUNNING +n1 +0 +- +- +- +-");
        assertThat(lines.get(3)).matches("20 +\\S+ +low +PENDING +- +0 +- +- +- +-");
        assertThat(lines).hasSize(4);
    }

    @Test
    void listHasASelectionAndJson() throws CaesuraException, IOException {
        world.checkpoint("17");
        assertThat(run("list", "--json", "--node", "n1")).isZero();
        assertThat(json()).hasSize(2);
        JsonNode first = json().get(0);
        assertThat(first.get("job").asText()).isEqualTo("17");
        assertThat(first.get("contexts").asInt()).isEqualTo(1);
        assertThat(first.get("newestBytes").asLong()).isPositive();
        assertThat(json().get(1).get("contexts").isNull()).isTrue();
        assertThat(run("list", "--user", "somebody")).isZero();
        assertThat(fixture.out()).isEqualTo("no jobs\n");
        assertThat(run("list", "17", "--json")).isZero();
        assertThat(json()).hasSize(1);
    }

    @Test
    void anUnknownJobIsAnErrorOfTheBatchSystem() {
        assertThat(run("list", "99")).isEqualTo(209);
        assertThat(fixture.err()).contains("no job 99 in the queue").contains("hint:");
    }

    @Test
    void showTellsEverything() throws CaesuraException, IOException {
        world.checkpoint("17");
        world.checkpoint("17");
        assertThat(run("show", "17", "18")).isZero();
        assertThat(fixture.out())
                .contains("job 17\n", "  policy      30m,on-cancel=delete\n", "  command     ./sim -n\n")
                .containsPattern("000002 +\\S+Z +request +0 on .* +3 +\\d+\n")
                .containsPattern("000001 ")
                .contains("job 18\n", "no folder in the store");
        assertThat(run("show", "--json", "17")).isZero();
        JsonNode contexts = json().get(0).get("contexts");
        assertThat(contexts).hasSize(2);
        assertThat(contexts.get(0).get("manifest").get("pids")).hasSize(3);
        assertThat(contexts.get(0).get("path").asText()).endsWith("lab/17/000002");
    }

    @Test
    void checkpointPrintsWhereTheContextIs() {
        assertThat(run("checkpoint", "17")).isZero();
        assertThat(fixture.out().strip()).isEqualTo(home.resolve(".local/state/caesura/lab/17/000001") + "");
    }

    @Test
    void checkpointWithoutWaitingOnlyAsks() {
        assertThat(run("checkpoint", "--no-wait", "18")).isZero();
        assertThat(fixture.out()).isEmpty();
        assertThat(world.queue.diary).containsExactly("ask 18");
    }

    @Test
    void aFailureForOneJobLeavesTheOthersTheirTurn() {
        assertThat(run("checkpoint", "--timeout", "1", "20", "18", "17")).isEqualTo(209);
        assertThat(fixture.err()).contains("job 20 does not run").contains("job 18 is not protected");
        assertThat(fixture.out()).contains("17/000001");
    }

    @Test
    void requeueWaitsForTheContextAndHoldDoesToo() {
        assertThat(run("requeue", "17")).isZero();
        assertThat(world.queue.diary).containsExactly("ask 17", "requeue 17");
        assertThat(fixture.out()).contains("17/000001");
        assertThat(run("hold", "--timeout", "1", "18")).isEqualTo(209);
        assertThat(fixture.err()).contains("not held and runs on").contains("--force");
        assertThat(run("hold", "--timeout", "1", "--force", "18")).isZero();
        assertThat(world.queue.diary).endsWith("hold 18");
        assertThat(run("hold", "20")).isZero();
        assertThat(run("release", "20")).isZero();
        assertThat(world.queue.diary).endsWith("release 20");
    }

    @Test
    void whatChangesJobsHasToBeToldWhich() {
        for (String command : List.of("checkpoint", "requeue", "hold", "release", "cancel")) {
            assertThat(run(command)).isEqualTo(255);
            assertThat(fixture.err()).contains("JOB is missing").contains("cr_job " + command);
        }
        assertThat(run("drain")).isEqualTo(255);
        assertThat(world.queue.diary).isEmpty();
        assertThat(run("release", "--all")).isZero();
        assertThat(world.queue.diary).hasSize(3);
    }

    @Test
    void cancelSaysWhatBecomesOfTheContexts() throws CaesuraException {
        world.checkpoint("17");
        assertThat(run("cancel", "17", "18")).isZero();
        assertThat(fixture.err())
                .contains("job 17 is cancelled; its contexts in")
                .contains("lab/17 are deleted, as its policy says")
                .contains("job 18 is cancelled; it has no contexts");
        assertThat(world.queue.diary).containsExactly("cancel 17", "cancel 18");
    }

    @Test
    void theBatchSystemsRefusalIsPassedOn() {
        world.queue.refuses = "cancel 18";
        assertThat(run("cancel", "18")).isEqualTo(1);
        assertThat(fixture.err()).contains("Access/permission denied");
    }

    @Test
    void drainSaysWhatIsLeft() {
        assertThat(run("drain", "--timeout", "1", "--reason", "new memory", "n1"))
                .isEqualTo(16);
        assertThat(world.queue.diary).contains("drain n1 new memory", "requeue 17");
        assertThat(fixture.out()).containsPattern("18 +\\S+ +low +RUNNING +job 18 is not protected");
        assertThat(fixture.err()).contains("node n1 is not empty: 1 job is left");
        assertThat(run("drain", "--timeout", "1", "--no-checkpoint", "n1")).isZero();
        assertThat(fixture.out()).isEqualTo("node n1 is empty\n");
    }

    @Test
    void localJobsAreListedShownAndCheckpointedToo() throws CaesuraException {
        world.makeFolder("local", "render", "default");
        assertThat(run("list")).isZero();
        assertThat(fixture.out()).containsPattern("render +\\S+ +- +running ");
        assertThat(run("checkpoint", "render")).isZero();
        assertThat(fixture.out()).contains("local/render/000001");
        assertThat(run("show", "render")).isZero();
        assertThat(fixture.out()).contains("000001");
        assertThat(run("requeue", "--no-checkpoint", "render")).isEqualTo(22);
        assertThat(fixture.err()).contains("no queue");
        assertThat(run("list", "--scheduler", "slurm")).isZero();
        assertThat(fixture.out()).doesNotContain("render").contains("17");
        assertThat(run("list", "--scheduler=local")).isZero();
        assertThat(fixture.out()).contains("render").doesNotContain("17 ");
        assertThat(run("drain", "--scheduler=local", "n1")).isEqualTo(22);
    }

    @Test
    void aLocalJobIsCancelledThroughItsSupervisor() throws CaesuraException, IOException, InterruptedException {
        Process supervisor = new ProcessBuilder("sleep", "60").start();
        world.makeFolder("local", "render", "default");
        try (JobFolder folder = world.open("local", "render")) {
            RunIdentity run = folder.run().orElseThrow();
            folder.writeRun(new RunIdentity(
                    0,
                    run.host(),
                    run.bootId(),
                    run.initPid(),
                    run.initStartTicks(),
                    Math.toIntExact(supervisor.pid()),
                    null));
            assertThat(folder.facts().map(JobFacts::job)).contains("render");
        }
        assertThat(run("cancel", "render")).isZero();
        assertThat(supervisor.waitFor(10, TimeUnit.SECONDS)).isTrue();
        assertThat(supervisor.exitValue()).isEqualTo(128 + 15);
    }

    @Test
    void withoutABatchSystemThereAreLocalJobsOnly() throws CaesuraException {
        fixture.queues.clear();
        world.makeFolder("local", "render", "default");
        assertThat(run("list")).isZero();
        assertThat(fixture.out()).contains("render");
        assertThat(run("list", "--scheduler=slurm")).isEqualTo(212);
        assertThat(fixture.err()).contains("no batch system 'slurm'");
        assertThat(run("list", "99")).isEqualTo(209);
    }
}
