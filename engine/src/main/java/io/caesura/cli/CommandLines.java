package io.caesura.cli;

import io.caesura.error.ErrorCode;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine;

/** picocli, set up to read a command line as getopt_long does. */
public final class CommandLines {

    private CommandLines() {}

    static CommandLine of(Subject command) {
        CommandLine commandLine = new CommandLine(command);
        // Before the settings, which are passed on to what is there.
        command.subcommands().forEach(commandLine::addSubcommand);
        commandLine
                .setAbbreviatedOptionsAllowed(true)
                .setOverwrittenOptionsAllowed(true)
                // The word after an option that needs one is its argument, whatever it looks like.
                .setAllowOptionsAsOptionParameters(true)
                .setExpandAtFiles(false)
                .setInterpolateVariables(false)
                .setCaseInsensitiveEnumValuesAllowed(false);
        commandLine.getCommandSpec().exitCodeOnInvalidInput(ErrorCode.EUSAGE.code());
        return commandLine;
    }

    /**
     * getopt's optional arguments are joined with '='; picocli would also take the next word. So a bare --backup gets an
     * empty one.
     */
    static String[] prepare(String[] args) {
        String[] prepared = args.clone();
        for (int i = 0; i < prepared.length && !prepared[i].equals("--"); i++) {
            if (prepared[i].equals("--backup")) {
                prepared[i] = "--backup=";
            }
        }
        return prepared;
    }

    /** The commands that have a manual, their options declared but nothing behind them. */
    public static List<CommandLine> documented() {
        Console console = new Console("", System.out, System.err);
        Services none = new NativeServices(Optional.empty());
        return List.of(
                of(new CheckpointCommand(console, none)),
                of(new RestartCommand(console, none, PlanOutput.of(Map.of()))),
                of(new InfoCommand(console, none)),
                of(new JobCommand(console, none)));
    }
}
