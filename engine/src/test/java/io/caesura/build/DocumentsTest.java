package io.caesura.build;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DocumentsTest {

    @TempDir
    Path share;

    @Test
    void writesManualsAndCompletionThatWorks() throws IOException, InterruptedException {
        Documents.main(new String[] {"engine/src/build/man", share.toString(), "1.2.3"});
        for (String command : List.of("cr_checkpoint", "cr_restart", "cr_info", "cr_job")) {
            assertThat(share.resolve("man/man1/" + command + ".1")).content().contains("Caesura 1.2.3");
        }
        assertThat(complete("cr_checkpoint", "--ptraced-")).contains("--ptraced-skip", "--ptraced-allow");
        assertThat(complete("cr_restart", "--run-on-fail-")).contains("--run-on-fail-temp");
        assertThat(complete("cr_info", "--jo")).contains("--jobs").doesNotContain("--json");
        assertThat(complete("cr_job", "pol")).contains("policy");
        assertThat(complete("cr_restart", "pom")).as("a file as operand").contains("pom.xml");
    }

    /** What bash offers for a word that was begun. */
    private List<String> complete(String command, String word) throws IOException, InterruptedException {
        String script = ". \"$1\"; COMP_WORDS=(\"$2\" \"$3\"); COMP_CWORD=1; COMP_LINE=\"$2 $3\"; COMP_TYPE=9; "
                + "set -- $(complete -p \"$2\"); "
                + "while [ \"$1\" != -F ]; do shift; done; $2; printf '%s\\n' \"${COMPREPLY[@]}\"";
        Path completion = share.resolve("bash-completion/completions").resolve(command);
        Process bash = new ProcessBuilder("bash", "-c", script, "bash", completion.toString(), command, word)
                .redirectErrorStream(true)
                .start();
        String offered = new String(bash.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(bash.waitFor()).as(offered).isZero();
        return offered.lines().map(String::strip).toList();
    }
}
