package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import io.caesura.nativelib.NativeFiles;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.store.JobFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JobsTest {

    @TempDir
    Path home;

    private Policies policies;
    private Jobs jobs;

    @BeforeEach
    void setUp() {
        policies = new Policies(List.of(home.resolve("policies")));
        jobs = new Jobs(new NativeFiles(), policies, home);
    }

    private void create(String spec, String name) throws CaesuraException {
        jobs.create(policies.resolve(spec), JobName.parse(name)).close();
    }

    private Path find(String name) throws CaesuraException {
        try (JobFolder folder = jobs.open(JobName.parse(name))) {
            return folder.path();
        }
    }

    @Test
    void theDefaultStoreIsTheUsersOwn() throws CaesuraException, IOException {
        create("default", "a");
        assertThat(find("a")).isEqualTo(home.resolve(".local/state/caesura/local/a"));
        assertThat(Files.getPosixFilePermissions(home.resolve(".local/state/caesura")))
                .isEqualTo(PosixFilePermissions.fromString("rwx------"));
        assertThat(jobs.stores()).hasSize(1);
    }

    @Test
    void theSitesDefaultPolicyMovesTheStore() throws CaesuraException, IOException {
        Files.createDirectory(home.resolve("policies"));
        Files.writeString(home.resolve("policies/default.yaml"), "store: {dir: " + home.resolve("site") + "}");
        create("30", "a");
        assertThat(find("a")).isEqualTo(home.resolve("site/local/a"));
    }

    @Test
    void otherStoresAreRememberedWhileTheyExist() throws CaesuraException, IOException {
        Path first = home.resolve("first");
        Path second = home.resolve("second");
        create("store.dir=" + first, "a");
        create("store.dir=" + first, "b");
        create("store.dir=" + second, "c");
        assertThat(find("a")).isEqualTo(first.resolve("local/a"));
        assertThat(find("c")).isEqualTo(second.resolve("local/c"));
        assertThat(jobs.stores()).hasSize(3);
        for (String name : List.of("local/a", "local/b", "local", "")) {
            Files.delete(first.resolve(name));
        }
        create("store.dir=" + home.resolve("third"), "d");
        assertThat(Files.readAllLines(home.resolve(".local/state/caesura/stores")))
                .containsExactly(second.toString(), home.resolve("third").toString());
    }

    @Test
    void saysWhereItLookedForAJob() {
        assertFails(ErrorCode.ENOJOB, home + "/.local/state/caesura", () -> jobs.open(JobName.parse("none")));
    }

    @Test
    void everyPolicyHasAStore() {
        assertThat(jobs.store(Policy.BUILT_IN).root()).isEqualTo(home.resolve(".local/state/caesura"));
    }
}
