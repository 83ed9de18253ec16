package io.caesura.policy;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.caesura.error.CaesuraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is in policies/: that it loads, that the schemas agree, that the page on policies tells of all of it. */
class ReadyPoliciesTest {

    private static final Path FOLDER = Path.of("policies");
    private static final Owner OWNER = new Owner("ann", Path.of("/home/ann"));

    private final Policies policies = new Policies(List.of(FOLDER), OWNER, new SiteFile(List.of(), Optional.empty()));

    static Stream<String> names() throws IOException {
        try (Stream<Path> files = Files.list(FOLDER)) {
            return files
                    .map(file -> String.valueOf(file.getFileName()))
                    .filter(file -> file.endsWith(".yaml"))
                    .map(file -> file.replace(".yaml", ""))
                    .sorted()
                    .toList()
                    .stream();
        }
    }

    @Test
    void theyAreThere() throws IOException, CaesuraException {
        List<String> expected =
                List.of("default", "fast-local", "long-running", "paranoid", "periodic", "preempt-only");
        assertThat(names()).containsExactlyElementsOf(expected);
        assertThat(policies.list())
                .allMatch(Policies.Named::isGood)
                .extracting(Policies.Named::name)
                .isEqualTo(expected);
    }

    @ParameterizedTest
    @MethodSource("names")
    void eachLoadsAndIsDescribedAndDocumented(String name) throws IOException, CaesuraException {
        String yaml = Files.readString(FOLDER.resolve(name + ".yaml"));
        assertThat(Schemas.accepts(Schemas.POLICY, yaml)).isTrue();
        assertThat(policies.explain(name).description()).isNotEmpty();
        assertThat(documentation()).contains("| `" + name + "` |");
    }

    @Test
    void eachDoesWhatItsNameSays() throws CaesuraException {
        assertThat(policies.resolve("default")).isEqualTo(Policy.BUILT_IN);
        Policy preempt = policies.resolve("preempt-only");
        assertThat(preempt.isResident()).isFalse();
        assertThat(preempt.checkpointOnPreemption()).isTrue();
        assertThat(preempt.signal())
                .as("the warning of a preemption comes by it")
                .isPresent();
        assertThat(policies.resolve("periodic").interval()).contains(Duration.ofMinutes(30));
        Policy longRunning = policies.resolve("long-running");
        assertThat(longRunning.interval()).contains(Duration.ofHours(2));
        assertThat(longRunning.trackedPaths("/job")).containsExactly("/job");
        assertThat(policies.resolve("fast-local").storeFolder()).contains("/var/tmp/caesura-ann");
        Policy paranoid = policies.resolve("paranoid");
        assertThat(paranoid.interval().orElseThrow()).isLessThan(Duration.ofMinutes(30));
        assertThat(paranoid.keep()).isGreaterThan(longRunning.keep());
        assertThat(paranoid.sync() && paranoid.checkpointOnCancel() && paranoid.keepOnCancel())
                .isTrue();
        assertThat(paranoid.track()).contains(Policy.JOB_FOLDER);
    }

    @Test
    void whatDefaultSaysInRemarksIsBuiltIn() throws IOException, CaesuraException {
        String keys = Files.readAllLines(FOLDER.resolve("default.yaml")).stream()
                .filter(line -> line.matches("# ( {2})?[a-z-]+:( .*)?"))
                .map(line -> line.substring(2))
                .collect(Collectors.joining("\n"));
        assertThat(Schemas.accepts(Schemas.POLICY, keys)).isTrue();
        PolicyDraft draft = new PolicyDraft(Policy.BUILT_IN);
        new PolicyFile("remarks").apply(draft, keys);
        for (PolicyKey key : PolicyKey.values()) {
            assertThat(draft.origin(key).isPresent()).as(key.key()).isEqualTo(key != PolicyKey.DESCRIPTION);
        }
        assertThat(draft.storeFolder).contains(StoreFolder.DEFAULT);
        draft.storeFolder = Optional.empty();
        assertThat(draft.build()).isEqualTo(Policy.BUILT_IN);
    }

    @Test
    void theSitesExampleIsGood() throws IOException, CaesuraException {
        String yaml = Files.readString(FOLDER.resolve("site.yaml.example"));
        assertThat(Schemas.accepts(Schemas.SITE, yaml)).isTrue();
        Site site = Site.parse("example", yaml, OWNER);
        assertThat(site.ground().keep).isEqualTo(2);
        for (Limit.Kind kind : Limit.Kind.values()) {
            assertThat(yaml).contains("  " + kind.key() + ":");
        }
    }

    @Test
    void theSitesSchemaHasEveryLimit() throws IOException {
        JsonNode limits = new YAMLMapper()
                .readTree(Files.readString(FOLDER.resolve(Schemas.SITE)))
                .at("/properties/limits/properties");
        assertThat(limits.fieldNames())
                .toIterable()
                .containsExactlyInAnyOrderElementsOf(
                        Arrays.stream(Limit.Kind.values()).map(Limit.Kind::key).toList());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "defaults: {keep: 2}",
                "defaults: {keep: 0}",
                "defaults: {kep: 1}",
                "defaults: {store: {dir: /scratch/%u}}",
                "defaults: {store: {dir: scratch}}",
                "defaults: 5",
                "limits: {interval-min: 10m}",
                "limits: {interval-min: \"off\"}",
                "limits: {interval-min: 0}",
                "limits: {keep-max: 5}",
                "limits: {keep-max: 0}",
                "limits: {keep-max: [5]}",
                "limits: {copy-limit-max: 1GiB}",
                "limits: {copy-limit-max: big}",
                "limits: {time-limit-before-max: 30m}",
                "limits: {time-limit-before-max: \"off\"}",
                "limits: {stores: [\"%h\", /scratch/%u]}",
                "limits: {stores: /}",
                "limits: {stores: []}",
                "limits: {stores: [here]}",
                "limits: {stores: [/a/../b]}",
                "limits: {keep: 5}",
                "limits: 5",
                "keep: 2",
                "[1]"
            })
    void theSitesSchemaAgreesWithTheEngine(String yaml) throws IOException {
        boolean good;
        try {
            Site.parse("site.yaml", yaml, OWNER);
            good = true;
        } catch (CaesuraException e) {
            good = false;
        }
        assertThat(Schemas.accepts(Schemas.SITE, yaml)).as(yaml).isEqualTo(good);
    }

    @Test
    void thePageOnPoliciesHasEveryKeyAndLimit() throws IOException {
        String page = documentation();
        for (PolicyKey key : PolicyKey.values()) {
            assertThat(page).contains("| `" + key.key() + "` |");
        }
        for (Limit.Kind kind : Limit.Kind.values()) {
            assertThat(page).contains("| `" + kind.key() + "` |");
        }
    }

    private static String documentation() throws IOException {
        return Files.readString(Path.of("docs/policies.md"));
    }
}
