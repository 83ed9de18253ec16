package io.caesura.build;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Writes the enum ErrorCode from native/include/caesura_errors.def, the one table of errors.
 *
 * <p>It uses nothing but the JDK, so that the build can run its source before anything is compiled.
 */
public final class ErrorTable {

    private static final String STRING = "\"((?:[^\"\\\\]|\\\\.)*)\"";
    private static final Pattern ROW = Pattern.compile(
            "CAESURA_ERROR\\(\\s*(\\w+)\\s*,\\s*(\\d+)\\s*,\\s*" + STRING + "\\s*,\\s*" + STRING + "\\s*\\)");
    private static final Pattern COMMENT = Pattern.compile("/\\*.*?\\*/", Pattern.DOTALL);

    private static final String ENUM = """
            // Generated from native/include/caesura_errors.def; do not edit.
            package io.caesura.error;

            import java.util.Optional;

            /** The codes of the one error table: exit status of a command, and negated result of a C function. */
            public enum ErrorCode {
                @CONSTANTS@
                ;

                private final int code;
                private final String what;
                private final String remedy;

                ErrorCode(int code, String what, String remedy) {
                    this.code = code;
                    this.what = what;
                    this.remedy = remedy;
                }

                /** The exit status, 1 to 255. */
                public int code() {
                    return code;
                }

                /** What is wrong, in general. */
                public String what() {
                    return what;
                }

                /** What to do about it, in general. */
                public String remedy() {
                    return remedy;
                }

                /** The row with this code; empty if the table has none. */
                public static Optional<ErrorCode> of(int code) {
                    for (ErrorCode value : values()) {
                        if (value.code == code) {
                            return Optional.of(value);
                        }
                    }
                    return Optional.empty();
                }
            }
            """;

    /** One row. The strings are as in the file, so with their escapes, which C and Java share. */
    public record Row(String name, int code, String what, String remedy) {}

    private ErrorTable() {}

    /** Arguments: the table, the Java file to write. */
    public static void main(String[] args) throws IOException {
        Path target = Path.of(args[1]);
        String source = enumSource(parse(Files.readString(Path.of(args[0]))));
        if (!Files.exists(target) || !Files.readString(target).equals(source)) {
            Files.createDirectories(target.toAbsolutePath().getParent());
            Files.writeString(target, source);
        }
    }

    /** Reads the table; a row that is not understood, or a code or name given twice, is an error. */
    public static List<Row> parse(String table) {
        String text = COMMENT.matcher(table).replaceAll("");
        List<Row> rows = new ArrayList<>();
        Set<Object> seen = new HashSet<>();
        Matcher matcher = ROW.matcher(text);
        while (matcher.find()) {
            // The table's names for errno values end in "_" because <errno.h> makes macros of the plain ones.
            String name = matcher.group(1).replaceAll("_$", "");
            int code = Integer.parseInt(matcher.group(2));
            if (!seen.add(name) || !seen.add(code)) {
                throw new IllegalArgumentException("error table: " + name + " or its code " + code + " is there twice");
            }
            rows.add(new Row(name, code, matcher.group(3), matcher.group(4)));
        }
        String rest = ROW.matcher(text).replaceAll("").strip();
        if (!rest.isEmpty() || rows.isEmpty()) {
            throw new IllegalArgumentException("error table: not understood: " + rest);
        }
        return rows;
    }

    static String enumSource(List<Row> rows) {
        String constants = rows.stream()
                .map(row -> "    %s(%d, \"%s\", \"%s\"),%n".formatted(row.name(), row.code(), row.what(), row.remedy()))
                .collect(Collectors.joining());
        return ENUM.replace("    @CONSTANTS@\n", constants);
    }
}
