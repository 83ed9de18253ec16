package io.caesura.scheduler;

import io.caesura.error.CaesuraException;
import java.util.List;

/** Runs a program of the batch system and waits for its end. Tests have one that plays back what was captured. */
public interface ProgramRunner {

    /**
     * What a program left.
     *
     * @param status exit status
     * @param out all of its stdout
     * @param err all of its stderr
     */
    record Outcome(int status, String out, String err) {}

    /**
     * Runs a program found in PATH, or by a path with a slash, whose stdin is empty.
     *
     * @param command program and arguments, handed over as they are
     * @throws CaesuraException ESCHEDULER if it cannot be started, was killed, or does not end in time
     */
    Outcome run(List<String> command) throws CaesuraException;
}
