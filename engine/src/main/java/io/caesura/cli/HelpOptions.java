package io.caesura.cli;

import picocli.CommandLine.Option;

/** What every command has. */
@Section("General options")
@SuppressWarnings("UnusedVariable") // picocli sets them
final class HelpOptions {

    @Option(
            order = 1,
            names = {"-?", "-h", "--help"},
            usageHelp = true,
            description = "Print this message and exit.")
    private boolean help;

    @Option(order = 11, names = "--version", versionHelp = true, description = "Print the version and exit.")
    private boolean version;
}
