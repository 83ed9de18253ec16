package io.caesura.policy;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The site's file: defaults below every policy, limits above them, and who may write it. */
class SiteTest {

    private static final String LIMITS = """
            defaults:
              keep: 3
              store:
                dir: /scratch/%u
            limits:
              interval-min: 10m
              keep-max: 5
              copy-limit-max: 1GiB
              time-limit-before-max: 30m
              stores: [/scratch/%u, "%h/contexts"]
            """;
    private static final String ALLOWED = "/scratch/ann, /home/ann/contexts";

    private final Owner owner = new Owner("ann", Path.of("/home/ann"));

    @TempDir
    Path tree;

    private Path file;
    private Path folder;

    @BeforeEach
    void folders() throws IOException {
        folder = Files.createDirectory(tree.resolve("policies"));
        file = Files.createDirectories(tree.resolve("etc/caesura")).resolve("site.yaml");
    }

    private Policies policies(Path installed) {
        SiteFile site = new SiteFile(List.of(file, tree.resolve("other/site.yaml")), Optional.of(installed));
        return new Policies(List.of(folder), owner, site);
    }

    private Policy resolve(String spec) throws CaesuraException {
        return policies(tree).resolve(spec);
    }

    private void site(String yaml) throws IOException {
        Files.writeString(file, yaml);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
    }

    private void policy(String name, String yaml) throws IOException {
        Files.writeString(folder.resolve(name + ".yaml"), yaml);
    }

    @Test
    void withoutAFileThereAreNoLimits() throws CaesuraException {
        assertThat(resolve("1s,keep=999").keep()).isEqualTo(999);
    }

    @Test
    void defaultsStandBelowEveryPolicy() throws CaesuraException, IOException {
        site(LIMITS);
        assertThat(resolve("default").keep()).isEqualTo(3);
        policy("default", "copy-limit: 1M");
        policy("p", "interval: 1h");
        assertThat(resolve("p").keep()).isEqualTo(3);
        assertThat(resolve("p").copyLimitBytes()).isEqualTo(1 << 20);
        policy("default", "keep: 1");
        assertThat(resolve("p").keep()).isEqualTo(1);
        assertThat(resolve("p,keep=5").keep()).isEqualTo(5);
    }

    @Test
    void theFirstFileThatIsThereCounts() throws CaesuraException, IOException {
        Path other = Files.createDirectory(tree.resolve("other")).resolve("site.yaml");
        Files.writeString(other, "defaults: {keep: 8}");
        assertThat(resolve("default").keep()).isEqualTo(8);
        site("defaults: {keep: 7}");
        assertThat(resolve("default").keep()).isEqualTo(7);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "interval=599s; interval 599s is shorter than 10m, the limit interval-min of SITE:6",
                "5; interval 5m is shorter than 10m, the limit interval-min",
                "keep=6; keep 6 is more than 5, the limit keep-max of SITE:7",
                "copy-limit=2G; copy-limit 2.0 GiB is more than 1GiB, the limit copy-limit-max of SITE:8",
                "time-limit.before=31m; 31m is more than 30m, the limit time-limit-before-max of SITE:9",
                "store.dir=/tmp/x; store.dir /tmp/x is in none of ALLOWED, the limit stores of SITE:10",
                "store.dir=/scratch; /scratch is in none of",
                "store.dir=/scratch/annabel; /scratch/annabel is in none of",
                "store.dir=/scratch/bob; /scratch/bob is in none of",
                "store.dir=/scratch/ann/../bob; '..' in the path",
                "store.dir=%h; /home/ann is in none of",
                "store.dir=%h/.local; /home/ann/.local is in none of",
            })
    void refusesWhatExceedsALimit(String spec, String message) throws IOException {
        site(LIMITS);
        String expected = message.replace("SITE", file.toString()).replace("ALLOWED", ALLOWED);
        assertFails(ErrorCode.EPOLICY, expected, () -> resolve(spec));
    }

    @ParameterizedTest
    @CsvSource({
        "interval=10m",
        "interval=off",
        "keep=5",
        "copy-limit=1GiB",
        "time-limit.before=30m",
        "time-limit.before=off",
        "store.dir=/scratch/ann",
        "store.dir=/scratch/./ann//x/",
        "store.dir=/scratch/%u/x",
        "store.dir=%h/contexts/y"
    })
    void takesWhatIsWithinTheLimits(String spec) throws CaesuraException, IOException {
        site(LIMITS);
        assertThat(resolve(spec)).isNotNull();
    }

    @Test
    void limitsHoldForPolicyFilesTooAndTheirLineIsTold() throws CaesuraException, IOException {
        site(LIMITS);
        policy("greedy", "interval: 1h\nkeep: 50\n");
        assertFails(
                ErrorCode.EPOLICY,
                "keep 50 is more than 5 (set by " + folder + "/greedy.yaml:2), the limit keep-max",
                () -> resolve("greedy"));
        assertThat(resolve("greedy,keep=5").keep()).isEqualTo(5);
        policy("default", "keep: 60\n");
        assertFails(ErrorCode.EPOLICY, "keep 60 is more than 5", () -> resolve("default"));
        // Jobs that are there must be found all the same.
        assertThat(policies(tree).ground().keep()).isEqualTo(60);
    }

    @Test
    void theUsersOwnDefaultStoreIsHeldToTheLimitToo() throws CaesuraException, IOException {
        site("limits:\n  stores: '%h/.local/state'\n");
        assertThat(resolve("default").storeFolder()).isEmpty();
        site("limits:\n  stores: /scratch\n");
        assertFails(
                ErrorCode.EPOLICY,
                file + ":2: the limit stores forbids what holds without a policy: store.dir "
                        + "/home/ann/.local/state/caesura is in none of /scratch (built in)",
                () -> resolve("store.dir=/scratch/x"));
    }

    @Test
    void expandsUserAndHomeFolder() throws CaesuraException, IOException {
        site("defaults:\n  store:\n    dir: /scratch/%u/%%\n");
        assertThat(resolve("default").storeFolder()).contains("/scratch/ann/%");
        assertThat(resolve("store.dir=%h/c").storeFolder()).contains("/home/ann/c");
        assertFails(ErrorCode.EPOLICY, "nothing to put in for '%c'", () -> resolve("store.dir=/x/%c"));
        assertFails(ErrorCode.EPOLICY, "nothing to put in for '%'", () -> resolve("store.dir=/x%"));
        for (String name : List.of("", "?", "..", "a/b")) {
            Policies policies =
                    new Policies(List.of(), new Owner(name, Path.of("/h")), new SiteFile(List.of(), Optional.empty()));
            assertFails(
                    ErrorCode.EPOLICY,
                    "store.dir: no name to put in for %u",
                    () -> policies.resolve("store.dir=/x/%u"));
            assertThat(policies.resolve("30").interval()).contains(Duration.ofMinutes(30));
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "limit: {keep-max: 1}; :1: unknown key 'limit.keep-max'",
                "limits: 5; :1: unknown key 'limits'",
                "limits: {keep-min: 1}; :1: unknown key 'limits.keep-min'",
                "limits: {keep-max: many}; :1: limits.keep-max: not a number of contexts",
                "limits: {keep-max: [1]}; one value is needed, not a list",
                "limits: {interval-min: 0}; limits.interval-min: a time of 0",
                "limits: {interval-min: soon}; not a time span",
                "limits: {time-limit-before-max: 'off'}; not a time span",
                "limits: {copy-limit-max: big}; not a size",
                "limits: {stores: []}; no folder is named",
                "limits: {stores: here}; not an absolute path",
                "limits: {stores: /a/../b}; '..' in the path",
                "limits: {keep-max: 1}; :1: the limit keep-max forbids what holds without a policy: keep 2 is more than 1",
                "limits: {time-limit-before-max: 60s}; time-limit.before 2m is more than 1m",
                "defaults: {keep: 0}; :1: defaults.keep: not a number",
                "defaults: {kep: 2}; :1: unknown key 'defaults.kep'",
                "defaults: {store: {dir: x}}; :1: defaults.store.dir: not an absolute path",
                "'limits: \"keep'; not YAML",
                "'[limits]'; not a list of keys and values"
            })
    void aBrokenFileIsAnErrorForEverySpec(String yaml, String message) throws IOException {
        site(yaml);
        assertFails(ErrorCode.EPOLICY, message, () -> resolve("default"));
        assertFails(ErrorCode.EPOLICY, file.toString(), () -> resolve("keep=2"));
        assertFails(ErrorCode.EPOLICY, file.toString(), () -> policies(tree).list());
    }

    @Test
    void refusesAFileThatOthersCouldWrite() throws CaesuraException, IOException {
        site("defaults: {keep: 7}");
        assertThat(resolve("default").keep()).isEqualTo(7);
        for (String mode : List.of("rw-rw-r--", "rw-r--rw-")) {
            Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(mode));
            assertFails(
                    ErrorCode.EPOLICY, "site file " + file + " is not used: it may be written", () -> resolve("30"));
        }
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
        Path parent = tree.resolve("etc");
        Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwxrwxr-x"));
        assertFails(ErrorCode.EPOLICY, "is not used: " + parent + " may be written by others", () -> resolve("30"));
    }

    @Test
    void refusesAFileOfAnotherUser() throws CaesuraException, IOException {
        site("defaults: {keep: 7}");
        // The tree of somebody else: root's, or, for root, none, and a file that root gives away.
        boolean root = (Integer) Files.getAttribute(file, "unix:uid") == 0;
        if (root) {
            Files.setAttribute(file, "unix:uid", 65534);
        }
        assertFails(ErrorCode.EPOLICY, "belongs to user", () -> policies(Path.of("/"))
                .resolve("30"));
        if (root) {
            Files.setAttribute(tree, "unix:uid", 65534);
        }
        assertThat(resolve("default").keep()).as("of the tree's owner").isEqualTo(7);
    }

    @Test
    void looksAtWhereALinkLeadsTo() throws CaesuraException, IOException {
        Path real = Files.createDirectories(tree.resolve("conf/caesura")).resolve("real.yaml");
        Files.createSymbolicLink(file, real);
        assertFails(ErrorCode.EPOLICY, "a link that leads nowhere", () -> resolve("30"));
        Files.writeString(real, "defaults: {keep: 7}");
        assertThat(resolve("default").keep()).isEqualTo(7);
        Files.setPosixFilePermissions(real.getParent(), PosixFilePermissions.fromString("rwxrwxrwx"));
        assertFails(ErrorCode.EPOLICY, real.getParent() + " may be written by others", () -> resolve("30"));
    }

    @Test
    void aFileThatCannotBeLookedAtIsAnError() throws IOException {
        Files.delete(file.getParent());
        Files.writeString(file.getParent(), "no folder");
        assertFails(ErrorCode.EPOLICY, "cannot read site file " + file, () -> resolve("30"));
    }

    @Test
    void listsPoliciesWithWhatIsWrongWithThem() throws CaesuraException, IOException {
        site(LIMITS);
        policy("good", "description: fine\ninterval: 1h");
        policy("broken", "kep: 2");
        policy("greedy", "keep: 50");
        policy("2h", "keep: 2");
        Files.writeString(folder.resolve("notes.txt"), "");
        assertThat(policies(tree).list())
                .containsExactly(
                        new Policies.Named("broken", false, folder + "/broken.yaml:1: unknown key 'kep'", folder),
                        new Policies.Named("good", true, "fine", folder),
                        new Policies.Named(
                                "greedy",
                                false,
                                "keep 50 is more than 5 (set by " + folder + "/greedy.yaml:1), the limit keep-max of "
                                        + file + ":7",
                                folder));
    }

    @Test
    void tellsWhereEachValueComesFrom() throws CaesuraException, IOException {
        site(LIMITS);
        policy("p", "description: mine\ninterval: 1h\n");
        ResolvedPolicy resolved = policies(tree).explain("p,copy-limit=1M");
        assertThat(resolved.description()).isEqualTo("mine");
        policy("default", "description: for all\n");
        policy("silent", "keep: 1\n");
        assertThat(policies(tree).explain("keep=1").description()).isEqualTo("for all");
        assertThat(policies(tree).explain("silent").description()).isEmpty();
        assertThat(policies(tree).explain(folder + "/silent.yaml").description())
                .isEmpty();
        assertThat(resolved.origins())
                .containsEntry("interval", folder + "/p.yaml:2")
                .containsEntry("keep", file + ":2")
                .containsEntry("store.dir", file + ":4")
                .containsEntry("copy-limit", "--checkpoint=p,copy-limit=1M")
                .containsEntry("sync", "built in");
    }
}
