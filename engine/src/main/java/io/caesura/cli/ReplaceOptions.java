package io.caesura.cli;

import io.caesura.store.ReplacePolicy;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What happens to a target that exists. The last option wins. */
@Section(
        value = "A destination that exists (the last one given counts)",
        note = "These options are ignored if the destination is a descriptor.")
final class ReplaceOptions {

    private ReplacePolicy policy = ReplacePolicy.ATOMIC;

    @Nullable
    private String backupName;

    @Option(
            order = 1,
            names = "--atomic",
            description = "It is replaced by the complete new context in one instant (default).")
    void atomic(boolean given) {
        policy = ReplacePolicy.ATOMIC;
    }

    @Option(
            order = 2,
            names = "--backup",
            paramLabel = "NAME",
            arity = "0..1",
            fallbackValue = "",
            description = "As --atomic, and the old one is kept as NAME, or as *.~1~, *.~2~ and so on.")
    void backup(String name) {
        policy = ReplacePolicy.BACKUP;
        backupName = name.isEmpty() ? null : name;
    }

    @Option(order = 3, names = "--clobber", description = "It is overwritten at once: this needs the least space.")
    void clobber(boolean given) {
        policy = ReplacePolicy.CLOBBER;
    }

    @Option(order = 4, names = "--noclobber", description = "It is left alone, and the checkpoint fails.")
    void noclobber(boolean given) {
        policy = ReplacePolicy.NOCLOBBER;
    }

    ReplacePolicy policy() {
        return policy;
    }

    @Nullable
    String backupName() {
        return backupName;
    }
}
