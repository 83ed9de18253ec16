package io.caesura.build;

import io.caesura.cli.CommandLines;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.AutoComplete;
import picocli.CommandLine;

/** Writes what is made of the commands' options: manual pages and completion for bash. */
public final class Documents {

    private Documents() {}

    /** Arguments: the folder of templates, the share folder to fill, the version. */
    public static void main(String[] args) throws IOException {
        Path templates = Path.of(args[0]);
        Path manuals = Files.createDirectories(Path.of(args[1], "man", "man1"));
        Path completions = Files.createDirectories(Path.of(args[1], "bash-completion", "completions"));
        for (CommandLine command : CommandLines.documented()) {
            String name = command.getCommandName();
            String template = Files.readString(templates.resolve(name + ".1.in"));
            Files.writeString(
                    manuals.resolve(name + ".1"), new ManPage(command.getCommandSpec(), args[2]).render(template));
            Files.writeString(completions.resolve(name), AutoComplete.bash(name, command));
        }
    }
}
