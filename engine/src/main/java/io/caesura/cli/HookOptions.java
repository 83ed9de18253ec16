package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.flow.HookClass;
import java.io.IOException;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Shell commands that are run when the outcome of a restart is known. */
@Section(
        value = "Commands run by /bin/sh when the outcome is known",
        note = "If CMD ends with another status than 0, cr_restart prints nothing and exits with that status.")
final class HookOptions {

    private final Map<HookClass, String> failure = new EnumMap<>(HookClass.class);

    @Nullable
    private String success;

    @Option(order = 1, names = "--run-on-success", paramLabel = "CMD", description = "The processes run.")
    void success(String command) {
        success = command;
    }

    @Option(
            order = 2,
            names = "--run-on-fail-args",
            paramLabel = "CMD",
            description = "Bad arguments, or the context is missing or unreadable.")
    void args(String command) {
        failure.put(HookClass.FAIL_ARGS, command);
    }

    @Option(
            order = 3,
            names = "--run-on-fail-temp",
            paramLabel = "CMD",
            description = "Passing trouble, such as a pid that is taken or no memory.")
    void temp(String command) {
        failure.put(HookClass.FAIL_TEMP, command);
    }

    @Option(
            order = 4,
            names = "--run-on-fail-env",
            paramLabel = "CMD",
            description = "Trouble that a person can mend, such as a missing file or permission.")
    void env(String command) {
        failure.put(HookClass.FAIL_ENV, command);
    }

    @Option(
            order = 5,
            names = "--run-on-fail-perm",
            paramLabel = "CMD",
            description = "Everything else, such as a damaged context.")
    void perm(String command) {
        failure.put(HookClass.FAIL_PERM, command);
    }

    @Option(order = 6, names = "--run-on-failure", paramLabel = "CMD", description = "All four failures.")
    void any(String command) {
        for (HookClass hook : HookClass.values()) {
            failure.put(hook, command);
        }
    }

    /** The hooks that cr-restore runs, by the end of their option's name. */
    Map<String, String> forRestore() {
        Map<String, String> hooks = new LinkedHashMap<>();
        if (success != null) {
            hooks.put("success", success);
        }
        put(hooks, "fail-temp", HookClass.FAIL_TEMP);
        put(hooks, "fail-env", HookClass.FAIL_ENV);
        put(hooks, "fail-perm", HookClass.FAIL_PERM);
        return hooks;
    }

    private void put(Map<String, String> hooks, String name, HookClass hook) {
        String command = failure.get(hook);
        if (command != null) {
            hooks.put(name, command);
        }
    }

    /**
     * Runs the hook of a failure.
     *
     * @return its status if that is to be the exit status; empty if there is no hook or it ended with 0
     */
    Optional<Integer> run(HookClass hook) throws CaesuraException {
        String command = failure.get(hook);
        if (command == null) {
            return Optional.empty();
        }
        try {
            int status = new ProcessBuilder("/bin/sh", "-c", command)
                    .inheritIO()
                    .start()
                    .waitFor();
            return status == 0 ? Optional.empty() : Optional.of(status);
        } catch (IOException e) {
            throw new CaesuraException(ErrorCode.EENGINE, "cannot run /bin/sh: " + e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CaesuraException(ErrorCode.EENGINE, "interrupted while the command for this failure ran");
        }
    }
}
