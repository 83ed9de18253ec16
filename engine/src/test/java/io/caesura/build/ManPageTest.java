package io.caesura.build;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.caesura.cli.CommandLines;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

class ManPageTest {

    private static final String TEMPLATE = ".TH X 1\n@SYNOPSIS@\n@OPTIONS@\n@EXIT_STATUS@\n";

    @CommandLine.Command(name = "tool", customSynopsis = "tool [--in=FILE] ID")
    static final class Tool implements Runnable {
        @CommandLine.Option(names = "--in", paramLabel = "FILE", description = ".dots, 'quotes' and C:\\path - dash")
        String in = "";

        @CommandLine.Option(
                names = {"-b", "--back"},
                arity = "0..1",
                paramLabel = "N",
                description = "Back.")
        String back = "";

        @Override
        public void run() {}
    }

    private static String page() {
        return new ManPage(new CommandLine(new Tool()).getCommandSpec(), "9.9").render(TEMPLATE);
    }

    @Test
    void escapesWhatMeansSomethingToRoff() {
        assertThat(page()).contains("\n\\&.dots, 'quotes' and C:\\epath \\- dash\n");
    }

    @Test
    void showsOptionsAndTheirArguments() {
        assertThat(page()).contains(".TP\n\\fB\\-\\-in\\fR=\\fIFILE\\fR\n");
        assertThat(page()).contains(".TP\n\\fB\\-b\\fR, \\fB\\-\\-back\\fR[=\\fIN\\fR]\nBack.\n");
        assertThat(page()).contains(".B tool\n[\\-\\-in=\\fIFILE\\fR] \\fIID\\fR\n");
    }

    @Test
    void listsExitStatusesByNumber() {
        String page = page();
        assertThat(page.indexOf("\\fB3\\fR (ESRCH)")).isBetween(0, page.indexOf("\\fB200\\fR (EUNSUPPORTED)"));
    }

    @Test
    void refusesATemplateWithoutAPlaceholder() {
        assertThatThrownBy(() -> new ManPage(new CommandLine(new Tool()).getCommandSpec(), "1").render(".TH X 1\n"))
                .hasMessageContaining("@SYNOPSIS@");
    }

    static Stream<CommandLine> commands() {
        return CommandLines.documented().stream();
    }

    @ParameterizedTest
    @MethodSource("commands")
    void manFormatsEveryPageWithoutWarning(CommandLine command) throws IOException, InterruptedException {
        String template = Files.readString(Path.of("engine/src/build/man", command.getCommandName() + ".1.in"));
        String page = new ManPage(command.getCommandSpec(), "1.0").render(template);
        for (OptionSpec option : command.getCommandSpec().options()) {
            if (!option.hidden()) {
                assertThat(page).contains("\\fB" + ManPage.escape(option.longestName()) + "\\fR");
            }
        }
        for (CommandLine below : command.getSubcommands().values()) {
            assertThat(page)
                    .contains(
                            ".SS \"" + ManPage.escape(command.getCommandName() + " " + below.getCommandName()) + "\"");
            for (OptionSpec option : below.getCommandSpec().options()) {
                assertThat(page).contains("\\fB" + ManPage.escape(option.longestName()) + "\\fR");
            }
        }
        assertThat(page).doesNotContain("@");
        Path file = Files.createTempFile("page", ".1");
        try {
            Files.writeString(file, page);
            List<String> man = List.of("groff", "-man", "-ww", "-z", file.toString());
            Process process = new ProcessBuilder(man).redirectErrorStream(true).start();
            assertThat(new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                    .isEmpty();
            assertThat(process.waitFor()).isZero();
        } finally {
            Files.delete(file);
        }
    }
}
