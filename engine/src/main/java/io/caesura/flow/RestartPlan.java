package io.caesura.flow;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A restart as it was asked for and checked: what cr-restore is told.
 *
 * @param files the context: one file, or one per process; empty if descriptor is given
 * @param descriptor inherited one to read the context from; -1: none
 * @param pidNamespace auto, current or new
 * @param restoreIds pid, pgid and sid with whether they are restored, as far as the user said; order counts
 * @param signal for every process; 0: none
 * @param hooks commands for success, fail-temp, fail-env and fail-perm
 * @param aside folder for cut-off tails and replaced files; empty: beside the context
 * @param jobFolder of a job of the store whose supervisor cr-restore becomes
 */
public record RestartPlan(
        List<String> files,
        int descriptor,
        String pidNamespace,
        Map<String, Boolean> restoreIds,
        int signal,
        List<Relocation> relocations,
        Map<String, String> hooks,
        Optional<String> aside,
        Optional<String> jobFolder,
        boolean allowChangedFiles,
        boolean quiet,
        boolean verbose) {

    /** The argument vector, program's name first. */
    public List<String> arguments() {
        List<String> arguments = new ArrayList<>();
        arguments.add("cr-restore");
        arguments.add("--pid-namespace=" + pidNamespace);
        restoreIds.forEach((id, restored) -> arguments.add((restored ? "--restore-" : "--no-restore-") + id));
        if (signal != 0) {
            arguments.add("--signal=" + signal);
        }
        relocations.forEach(relocation -> arguments.add("--relocate=" + relocation.toArgument()));
        hooks.forEach((hook, command) -> arguments.add("--run-on-" + hook + "=" + command));
        aside.ifPresent(folder -> arguments.add("--aside=" + folder));
        jobFolder.ifPresent(folder -> arguments.add("--job=" + folder));
        if (allowChangedFiles) {
            arguments.add("--allow-changed-files");
        }
        if (quiet) {
            arguments.add("--quiet");
        }
        if (verbose) {
            arguments.add("--verbose");
        }
        if (descriptor >= 0) {
            arguments.add("--fd");
            arguments.add(String.valueOf(descriptor));
        } else {
            arguments.add("--");
            arguments.addAll(files);
        }
        return arguments;
    }
}
