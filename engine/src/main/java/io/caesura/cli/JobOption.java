package io.caesura.cli;

import java.util.Optional;
import picocli.CommandLine.Option;

/** A job of the local scheduler. */
@Section("Jobs")
final class JobOption {

    @Option(
            names = {"-j", "--job"},
            paramLabel = "NAME",
            description =
                    "A job of this host, as cr_run --name called it, instead of an ID or a file. Its contexts are in the "
                            + "store of its policy.")
    private Optional<String> name = Optional.empty();

    Optional<String> name() {
        return name;
    }
}
