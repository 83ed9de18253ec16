package io.caesura.nativelib;

import com.sun.jna.Library;
import com.sun.jna.Native;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Loads libraries by JNA, set up to start fast. */
final class Jna {

    private static final String PLATFORM_PATH = "jna.platform.library.path";
    private static final Map<String, Object> OPTIONS = Map.of(Library.OPTION_STRING_ENCODING, "UTF-8");

    static {
        // Without it JNA runs `ldconfig -p` at every start to find libraries that are never asked for.
        if (System.getProperty(PLATFORM_PATH) == null) {
            System.setProperty(PLATFORM_PATH, "");
        }
    }

    private Jna() {}

    /** What the process has loaded anyway, such as libc. */
    static <T extends Library> T loadProcess(Class<T> type) {
        return load(null, type);
    }

    /** @param name of a library in jna.library.path, or a path; null: the process itself */
    static <T extends Library> T load(@Nullable String name, Class<T> type) {
        return Native.load(name, type, OPTIONS);
    }
}
