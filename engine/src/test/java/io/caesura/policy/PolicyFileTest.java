package io.caesura.policy;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Policy files: what is refused and where, and that the schema for editors says the same as the engine. */
class PolicyFileTest {

    private static Policy read(String yaml) throws CaesuraException {
        PolicyDraft draft = new PolicyDraft(Policy.BUILT_IN);
        new PolicyFile("p.yaml").apply(draft, yaml);
        return draft.build();
    }

    @Test
    void refusesAnUnknownKeyWithFileAndLine() {
        assertFails(ErrorCode.EPOLICY, "p.yaml:3: unknown key 'kep'", () -> read("---\ninterval: 5m\nkep: 2\n"));
        assertFails(ErrorCode.EPOLICY, "p.yaml:2: unknown key 'store.path'", () -> read("store:\n  path: /x\n"));
    }

    @Test
    void refusesAWrongValueWithFileAndLine() {
        assertFails(ErrorCode.EPOLICY, "p.yaml:2: keep: not a number", () -> read("sync: true\nkeep: many\n"));
        assertFails(ErrorCode.EPOLICY, "p.yaml:1: keep: one value", () -> read("keep: [1, 2]\n"));
        assertFails(ErrorCode.EPOLICY, "p.yaml:2: interval: a value is missing", () -> read("---\ninterval:\n"));
    }

    @Test
    void refusesAKeyTwice() {
        assertFails(ErrorCode.EPOLICY, "p.yaml:2:", () -> read("keep: 1\nkeep: 2\n"));
    }

    @Test
    void refusesWhatIsNotYaml() {
        assertFails(ErrorCode.EPOLICY, ": not YAML", () -> read("keep: 1\nsync: true\nmode: \"stop\n"));
        assertFails(ErrorCode.EPOLICY, "p.yaml:1: not a list of keys", () -> read("- keep\n"));
        assertFails(ErrorCode.EPOLICY, "second document", () -> read("keep: 1\n---\nkeep: 2\n"));
    }

    @Test
    void anEmptyFileChangesNothing() throws CaesuraException {
        assertThat(read("")).isEqualTo(Policy.BUILT_IN);
        assertThat(read("# nothing\n---\n")).isEqualTo(Policy.BUILT_IN);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "interval: 30",
                "interval: 90m",
                "interval: 2-12",
                "interval: \"1:30\"",
                "interval: 0s",
                "interval: 0",
                "interval: \"off\"",
                "interval: soon",
                "interval: 1.5h",
                "keep: 1",
                "keep: 0",
                "keep: 1000000",
                "keep: 1.5",
                "keep: [1]",
                "mode: stop",
                "mode: fast",
                "copy-limit: 4096",
                "copy-limit: 64MiB",
                "copy-limit: 1.5 G",
                "copy-limit: -1",
                "copy-limit: big",
                "track: job-folder",
                "track: [job-folder, /data]",
                "track: []",
                "track: here",
                "track: [here]",
                "store: {dir: /x}",
                "store: {dir: x}",
                "store: {path: /x}",
                "store: /x",
                "on-exit: keep",
                "on-exit: maybe",
                "sync: true",
                "sync: maybe",
                "sync: True",
                "interval: \"0:00\"",
                "interval: 1-0",
                "interval: 0-00:00",
                "deadline: 5m",
                "deadline: \"off\"",
                "deadline: never",
                "deadline: 0",
                "preemption: checkpoint",
                "preemption: ignore",
                "preemption: hold",
                "requeue: checkpoint",
                "requeue: ignore",
                "requeue: true",
                "time-limit: {before: 2m, then: requeue}",
                "time-limit: {before: \"off\"}",
                "time-limit: {then: hold}",
                "time-limit: {then: keep}",
                "time-limit: {before: 0}",
                "time-limit: {then: cancel}",
                "time-limit: {after: 2m}",
                "time-limit: 2m",
                "time-limit.before: 2m",
                "store.dir: /x",
                "signal: USR1",
                "signal: SIGUSR2",
                "signal: \"off\"",
                "signal: TERM",
                "signal: 12",
                "signal-then: continue",
                "signal-then: requeue",
                "signal-then: hold",
                "signal-then: stop",
                "cancel: checkpoint",
                "cancel: ignore",
                "cancel: hold",
                "on-cancel: keep",
                "on-cancel: delete",
                "on-cancel: delete-on-success",
                "requeue-now: true",
                "requeue-now: false",
                "requeue-now: now",
                "on-restart-failure: hold",
                "on-restart-failure: scratch",
                "on-restart-failure: older",
                "store: {dir: /scratch/%u}",
                "store: {dir: \"%h/contexts\"}",
                "store: {dir: \"%u/contexts\"}",
                "store: {dir: /scratch/%c}",
                "store: {dir: /scratch/50%}",
                "store: {dir: /scratch/50%%}",
                "store: {dir: /scratch/../etc}",
                "store: {dir: /scratch/..}",
                "store: {dir: /scratch/..x}",
                "colour: red",
                "[1]"
            })
    void theSchemaAgreesWithTheEngine(String yaml) throws IOException {
        boolean good;
        try {
            read(yaml);
            good = true;
        } catch (CaesuraException e) {
            good = false;
        }
        assertThat(Schemas.accepts(Schemas.POLICY, yaml)).as(yaml).isEqualTo(good);
    }

    @Test
    void theSchemaHasEveryKey() throws IOException {
        JsonNode schema = new YAMLMapper().readTree(Files.readString(Path.of("policies/policy.schema.json")));
        assertThat(keys(schema, ""))
                .containsExactlyInAnyOrderElementsOf(
                        Stream.of(PolicyKey.values()).map(PolicyKey::key).toList());
    }

    private static List<String> keys(JsonNode schema, String prefix) {
        List<String> keys = new ArrayList<>();
        schema.get("properties").properties().forEach(property -> {
            String key = prefix + property.getKey();
            keys.addAll(property.getValue().has("properties") ? keys(property.getValue(), key + ".") : List.of(key));
        });
        return keys;
    }
}
