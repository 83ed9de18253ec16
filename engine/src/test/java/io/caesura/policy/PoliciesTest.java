package io.caesura.policy;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PoliciesTest {

    @TempDir
    Path folder;

    private Path site;
    private Path shipped;
    private Policies policies;

    @BeforeEach
    void folders() throws IOException {
        site = Files.createDirectory(folder.resolve("site"));
        shipped = Files.createDirectory(folder.resolve("shipped"));
        policies = new Policies(List.of(site, shipped));
    }

    private void write(Path where, String name, String text) throws IOException {
        Files.writeString(where.resolve(name + ".yaml"), text);
    }

    @Test
    void withoutAnyFileTheBuiltInPolicyHolds() throws CaesuraException {
        assertThat(policies.resolve("default")).isEqualTo(Policy.BUILT_IN);
    }

    @ParameterizedTest
    @CsvSource({"30, PT30M", "01:30:00, PT90M", "45s, PT45S", "'default,interval=5s', PT5S", "'interval=2h', PT2H"})
    void intervals(String spec, Duration interval) throws CaesuraException {
        assertThat(policies.resolve(spec).interval()).contains(interval);
    }

    @Test
    void readsEveryKeyOfAFile() throws CaesuraException, IOException {
        write(shipped, "full", """
                ---
                description: everything
                interval: 01:30:00
                keep: 5
                mode: stop
                copy-limit: 1GiB
                track:
                  - job-folder
                  - /data
                store:
                  dir: /scratch/contexts
                on-exit: keep
                sync: false
                deadline: 5m
                preemption: ignore
                requeue: ignore
                time-limit:
                  before: 10m
                  then: hold
                signal: SIGUSR1
                signal-then: requeue
                cancel: checkpoint
                on-cancel: keep
                requeue-now: false
                on-restart-failure: scratch
                """);
        assertThat(policies.resolve("full"))
                .isEqualTo(new Policy(
                        Optional.of(Duration.ofMinutes(90)),
                        5,
                        1L << 30,
                        List.of("job-folder", "/data"),
                        Optional.of("/scratch/contexts"),
                        OnExit.KEEP,
                        false,
                        Optional.of(Duration.ofMinutes(5)),
                        false,
                        false,
                        Optional.of(Duration.ofMinutes(10)),
                        AfterLimit.HOLD,
                        Optional.of(Policy.SIGUSR1),
                        AfterSignal.REQUEUE,
                        true,
                        true,
                        false,
                        OnRestartFailure.SCRATCH));
        assertThat(policies.resolve("full").trackedPaths("/home/me/job")).containsExactly("/home/me/job", "/data");
    }

    @Test
    void theNearerFolderWins() throws CaesuraException, IOException {
        write(shipped, "p", "keep: 3");
        write(site, "p", "keep: 4");
        assertThat(policies.resolve("p").keep()).isEqualTo(4);
    }

    @Test
    void everyPolicyStandsOnTheDefault() throws CaesuraException, IOException {
        write(site, "default", "store:\n  dir: /scratch");
        write(shipped, "p", "keep: 3");
        assertThat(policies.resolve("p").storeFolder()).contains("/scratch");
        assertThat(policies.resolve("30").storeFolder()).contains("/scratch");
        assertThat(policies.resolve("p,store.dir=/x").storeFolder()).contains("/x");
    }

    @Test
    void aPathWithASlashIsAFile() throws CaesuraException, IOException {
        write(folder, "mine", "keep: 7");
        assertThat(policies.resolve(folder.resolve("mine.yaml") + ",interval=1m")
                        .keep())
                .isEqualTo(7);
        assertFails(ErrorCode.EPOLICY, "cannot read", () -> policies.resolve(folder + "/none.yaml"));
    }

    @Test
    void keysAddUp() throws CaesuraException {
        Policy policy = policies.resolve("keep=9,track=/a,track=job-folder,copy-limit=1M,on-exit=delete,sync=false");
        assertThat(policy.keep()).isEqualTo(9);
        assertThat(policy.track()).containsExactly("/a", "job-folder");
        assertThat(policy.copyLimitBytes()).isEqualTo(1 << 20);
        assertThat(policy.onExit()).isEqualTo(OnExit.DELETE);
        assertThat(policy.sync()).isFalse();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "none; no policy 'none'",
                "''; not a policy",
                "keep; no policy 'keep'",
                "keep=0; keep: not a number of contexts: '0'",
                "keep=x; keep: not a number",
                "colour=red; unknown key 'colour'",
                "interval=0; interval: a time of 0",
                "interval=soon; not a time span",
                "default,periodic; neither key=value nor an interval",
                "store.dir=here; not an absolute path: 'here'",
                "track=here; not an absolute path",
                "on-exit=maybe; delete-on-success or delete or keep",
                "copy-limit=big; not a size",
                "sync=yes; not a choice",
                "mode=fast; not a choice",
                "mode=snapshot; 'snapshot' is not there yet",
                "mode=auto; not there yet",
                "preemption=no; checkpoint or ignore",
                "requeue=never; checkpoint or ignore",
                "cancel=yes; checkpoint or ignore",
                "on-cancel=drop; keep or delete",
                "time-limit.before=0; a time of 0",
                "time-limit.before=late; not a time span",
                "time-limit.then=cancel; requeue or hold or keep",
                "time-limit=5m; unknown key 'time-limit'",
                "signal=KILL; not a signal that can be had: 'KILL'",
                "signal=usr2; not a signal",
                "signal=12; not a signal",
                "signal-then=stop; continue or requeue or hold",
                "requeue-now=off; true or false",
                "on-restart-failure=retry; hold or scratch",
                "deadline=0s; a time of 0",
                "deadline=soon; not a time span",
                "..; not a policy"
            })
    void saysWhatIsWrongWithASpec(String spec, String message) {
        try {
            policies.resolve(spec);
            assertThat(spec).as("was accepted").isEmpty();
        } catch (CaesuraException e) {
            assertThat(e.code()).isEqualTo(ErrorCode.EPOLICY);
            assertThat(e.getMessage() + "; " + e.remedy()).contains(message);
        }
    }

    @Test
    void asMapIsAPolicyAgain() throws CaesuraException, IOException {
        Policy policy = policies.resolve("90s,keep=4,track=/a,store.dir=/s%%,on-exit=keep,signal=off,deadline=90s,"
                + "time-limit.before=off,time-limit.then=keep,preemption=ignore,on-cancel=delete");
        assertThat(policy.storeFolder()).contains("/s%");
        write(shipped, "again", io.caesura.store.Json.write(policy.asMap()));
        assertThat(policies.resolve("again")).isEqualTo(policy);
        assertThat(policies.recorded(policy.asMap())).isEqualTo(policy);
    }

    @Test
    void aRecordedPolicyHoldsWhateverBecameOfItsFile() throws CaesuraException, IOException {
        write(shipped, "p", "keep: 5\non-exit: keep\n");
        Policy policy = policies.resolve("p,track=/a,track=job-folder");
        Files.delete(shipped.resolve("p.yaml"));
        write(site, "default", "kep: 1");
        assertFails(ErrorCode.EPOLICY, () -> policies.resolve("p"));
        assertThat(policies.recorded(policy.asMap())).isEqualTo(policy);
        assertFails(ErrorCode.EPOLICY, "unknown key 'colour'", () -> policies.recorded(Map.of("colour", "red")));
        assertFails(ErrorCode.EPOLICY, "job.json: keep: not a number", () -> policies.recorded(Map.of("keep", 0)));
    }

    @Test
    void endsByExitStatus() {
        assertThat(OnExit.DELETE_ON_SUCCESS.removes(0)).isTrue();
        assertThat(OnExit.DELETE_ON_SUCCESS.removes(1 << 8)).isFalse();
        assertThat(OnExit.DELETE_ON_SUCCESS.removes(9)).isFalse();
        assertThat(OnExit.DELETE.removes(9)).isTrue();
        assertThat(OnExit.KEEP.removes(0)).isFalse();
    }
}
