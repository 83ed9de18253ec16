package io.caesura.cli;

import io.caesura.model.CaptureFlag;
import java.util.EnumSet;
import java.util.Set;
import picocli.CommandLine.Option;

/** Mapped files that go into the context. The options add up from left to right. */
@Section(
        value = "Mapped files saved in the context (they add up from left to right)",
        note = "What is not saved has to be there, unchanged, at the restart.")
final class SaveOptions {

    private final Set<CaptureFlag> saved = EnumSet.noneOf(CaptureFlag.class);

    @Option(order = 1, names = "--save-exe", description = "The executable.")
    void exe(boolean given) {
        saved.add(CaptureFlag.SAVE_EXE);
    }

    @Option(
            order = 2,
            names = "--save-private",
            description = "Files mapped MAP_PRIVATE: executables and libraries too.")
    void privateMaps(boolean given) {
        saved.add(CaptureFlag.SAVE_PRIVATE);
    }

    @Option(order = 3, names = "--save-shared", description = "Files mapped MAP_SHARED.")
    void sharedMaps(boolean given) {
        saved.add(CaptureFlag.SAVE_SHARED);
    }

    @Option(order = 4, names = "--save-all", description = "All of these.")
    void all(boolean given) {
        saved.addAll(EnumSet.of(CaptureFlag.SAVE_EXE, CaptureFlag.SAVE_PRIVATE, CaptureFlag.SAVE_SHARED));
    }

    @Option(order = 5, names = "--save-none", description = "None of these (default).")
    void none(boolean given) {
        saved.clear();
    }

    void addTo(Set<CaptureFlag> flags) {
        flags.addAll(saved);
    }
}
