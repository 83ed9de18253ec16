package io.caesura.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PolicyCommandTest {

    @TempDir
    Path home;

    private CommandFixture caesura;
    private Path policies;

    @BeforeEach
    void policies() throws IOException {
        caesura = new CommandFixture(home);
        policies = Files.createDirectory(home.resolve("policies"));
        Files.writeString(policies.resolve("hourly.yaml"), "description: \"Every hour\"\ninterval: 1h\n");
    }

    @ParameterizedTest
    @CsvSource({
        "hourly, resident=1 warning=120",
        "30, resident=1 warning=120",
        "1:30, resident=1 warning=120",
        "01:30:00, resident=1 warning=120",
        "2-12, resident=1 warning=120",
        "2-12:30, resident=1 warning=120",
        "2-12:30:15, resident=1 warning=120",
        "off, resident=0 warning=120",
        "'hourly,off', resident=0 warning=120",
        "time-limit.before=off, resident=0 warning=0",
        "time-limit.before=1500ms, resident=0 warning=2",
        "time-limit.before=1ms, resident=0 warning=1",
        "'30m,time-limit.before=1:00:00', resident=1 warning=3600"
    })
    void briefIsOneLineForPrograms(String spec, String line) {
        assertThat(caesura.run("cr_job", "policy", "--brief", spec)).isZero();
        assertThat(caesura.out()).isEqualTo(line + "\n");
        assertThat(caesura.err()).isEmpty();
    }

    @Test
    void withoutASpecItIsTheDefault() {
        assertThat(caesura.run("cr_job", "policy")).isZero();
        String out = caesura.out();
        assertThat(caesura.run("cr_job", "policy", "default")).isZero();
        assertThat(caesura.out()).isEqualTo(out).contains("interval: \"off\"");
    }

    @ParameterizedTest
    @ValueSource(strings = {"hourly", "nosuch", "--help"})
    void briefIsTheSameHoweverItIsWritten(String spec) {
        int status = caesura.run("cr_job", "policy", "--brief", spec);
        String out = caesura.out();
        String err = caesura.err();
        assertThat(caesura.run("cr_job", "policy", "--brief=" + spec)).isEqualTo(status);
        assertThat(caesura.out()).isEqualTo(out);
        assertThat(caesura.err()).isEqualTo(err);
    }

    @Test
    void anEmptySpecIsNone() {
        assertThat(caesura.run("cr_job", "policy", "--brief", "")).isEqualTo(208);
        assertThat(caesura.err()).contains("not a policy, interval or key=value");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "nosuch; no policy 'nosuch' in",
                "keep=0; --checkpoint=keep=0: keep: not a number of contexts",
                "colour=red; unknown key 'colour'",
                "mode=snapshot; not there yet",
                "'cancel=checkpoint,on-cancel=delete'; would be deleted at once",
                "store.dir=/a/../b; '..' in the path",
                "--help; not a policy, interval or key=value",
                "/dev/zero; cannot read policy /dev/zero: it is no regular file",
                "./none.yaml; cannot read policy ./none.yaml: NoSuchFileException"
            })
    void aBadSpecIsToldWithAHint(String spec, String message) {
        for (boolean brief : new boolean[] {true, false}) {
            int status = brief
                    ? caesura.run("cr_job", "policy", "--brief", spec)
                    : caesura.run("cr_job", "policy", "--", spec);
            assertThat(status).isEqualTo(208);
            assertThat(caesura.out()).isEmpty();
            assertThat(caesura.err()).startsWith("cr_job: ").contains(message).containsPattern("\nhint: .+\n$");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "default",
                "hourly,keep=7,time-limit.before=off,signal=USR1",
                "track=/a b,track=/c#d,track=job-folder,store.dir=/x: y/%%,copy-limit=1000",
                "90s,copy-limit=3M,deadline=1500ms,on-cancel=delete,sync=false,track=/quote\"d"
            })
    void printsAPolicyThatReadsTheSame(String spec) throws IOException, CaesuraException {
        assertThat(caesura.run("cr_job", "policy", spec)).isZero();
        Files.writeString(policies.resolve("again.yaml"), caesura.out());
        assertThat(caesura.policies().resolve("again"))
                .as(caesura.out())
                .isEqualTo(caesura.policies().resolve(spec));
    }

    @Test
    void tellsWhereEachValueComesFrom() {
        assertThat(caesura.run("cr_job", "policy", "hourly,keep=7,time-limit.then=hold,track=/a"))
                .isZero();
        String out = caesura.out();
        assertThat(out).startsWith("---\ndescription: \"Every hour\"\n");
        assertThat(out).containsPattern("\ninterval: 1h +# " + policies + "/hourly.yaml:2\n");
        assertThat(out).containsPattern("\nkeep: 7 +# --checkpoint=hourly,keep=7,");
        assertThat(out).containsPattern("\ncopy-limit: 64MiB +# built in\n");
        assertThat(out).containsPattern("\ntrack: +# --checkpoint=.*\n {2}- /a\n");
        assertThat(out).containsPattern("\ntime-limit:\n {2}before: 2m +# built in\n {2}then: hold +# --checkpoint=");
        assertThat(out).containsPattern("\nsignal: USR2 +# built in\n");
        assertThat(out).containsPattern("\n# store: dir: /.*/.local/state/caesura +# built in\n$");
    }

    @Test
    void aSpecCannotWriteLinesOfItsOwn() throws IOException {
        Path odd = Files.createDirectory(home.resolve("a\nkeep: 9 #"));
        Files.writeString(odd.resolve("p.yaml"), "interval: 1h\n");
        assertThat(caesura.run("cr_job", "policy", odd.resolve("p.yaml").toString()))
                .isZero();
        assertThat(caesura.out().lines().filter(line -> line.startsWith("keep:")))
                .hasSize(1);
    }

    @Test
    void listsPoliciesWithTheirFolders() throws IOException {
        Files.writeString(policies.resolve("bad.yaml"), "kep: 1\n");
        assertThat(caesura.run("cr_job", "policy", "--list")).isZero();
        assertThat(caesura.out().lines().map(line -> line.replaceAll(" {2,}", "|")))
                .containsExactly(
                        "NAME|FOLDER|DESCRIPTION",
                        "bad|" + policies + "|REFUSED: " + policies + "/bad.yaml:1: unknown key 'kep'",
                        "hourly|" + policies + "|Every hour");
    }

    @Test
    void usageErrorsNameTheSubcommand() {
        assertThat(caesura.run("cr_job", "policy", "--list", "30")).isEqualTo(255);
        assertThat(caesura.err())
                .contains(
                        "more than one of SPEC, --brief and --list",
                        "Usage: cr_job policy",
                        "see cr_job policy --help");
        assertThat(caesura.run("cr_job", "policy", "--nosuch")).isEqualTo(255);
        assertThat(caesura.err()).contains("see cr_job policy --help");
        assertThat(caesura.run("cr_job")).isEqualTo(255);
        assertThat(caesura.err()).contains("COMMAND is missing", "hint: see cr_job --help");
        assertThat(caesura.run("cr_job", "nosuch")).isEqualTo(255);
        assertThat(caesura.err()).contains("nosuch", "hint: see cr_job --help");
    }

    @Test
    void helpListsTheCommandsAndEachHasItsOwn() {
        assertThat(caesura.run("cr_job", "--help")).isZero();
        assertThat(caesura.out()).contains("Commands:\n", "\n  policy ", "See cr_job COMMAND --help.");
        assertThat(caesura.run("cr_job", "policy", "--help")).isZero();
        assertThat(caesura.out()).startsWith("Usage: cr_job policy ").contains("--brief", "--list");
        assertThat(caesura.run("cr_job", "--version")).isZero();
        assertThat(caesura.out()).startsWith("cr_job version ");
    }
}
