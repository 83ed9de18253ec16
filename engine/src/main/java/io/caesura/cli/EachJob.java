package io.caesura.cli;

import io.caesura.error.CaesuraException;
import java.util.List;

/** The same for several jobs: what fails for one is told, and the others have their turn. */
final class EachJob {

    private final Console console;
    private int status;

    EachJob(Console console) {
        this.console = console;
    }

    /** What is done for one. */
    interface Action<T> {
        void run(T job) throws CaesuraException;
    }

    <T> void run(List<T> jobs, Action<T> action) {
        for (T job : jobs) {
            try {
                action.run(job);
            } catch (CaesuraException e) {
                console.failure(e);
                status = status == 0 ? e.code().code() : status;
            }
        }
    }

    /** 0, or the code of the first failure. */
    int status() {
        return status;
    }
}
