package io.caesura.cli;

import picocli.CommandLine.Option;

/**
 * BLCR's choice of what becomes of cr_restart itself in a later checkpoint. Here the parent of restarted processes is always
 * left out of a checkpoint of them, and its exit status is theirs, so the options are taken and change nothing.
 */
@Section("Accepted for BLCR's sake, without effect")
@SuppressWarnings("UnusedVariable") // picocli sets them
final class OmitOptions {

    @Option(
            order = 1,
            names = "--omit-maybe",
            description = "cr_restart is never part of a later checkpoint of what it restarted.")
    private boolean maybe;

    @Option(order = 2, names = "--omit-always", description = "The same.")
    private boolean always;

    @Option(order = 3, names = "--omit-never", description = "The same.")
    private boolean never;
}
