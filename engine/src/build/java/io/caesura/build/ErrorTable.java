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
        StringBuilder out = new StringBuilder();
        out.append("// Generated from native/include/caesura_errors.def; do not edit.\n");
        out.append("package io.caesura.error;\n\n");
        out.append("import java.util.Optional;\n\n");
        out.append(
                "/** The codes of the one error table: exit status of a command, and negated result of a C function. */\n");
        out.append("public enum ErrorCode {\n");
        for (Row row : rows) {
            out.append("    %s(%d, \"%s\", \"%s\"),\n".formatted(row.name(), row.code(), row.what(), row.remedy()));
        }
        out.append("    ;\n\n");
        out.append("    private final int code;\n    private final String what;\n    private final String remedy;\n\n");
        out.append("    ErrorCode(int code, String what, String remedy) {\n");
        out.append("        this.code = code;\n        this.what = what;\n        this.remedy = remedy;\n    }\n\n");
        out.append("    /** The exit status, 1 to 255. */\n    public int code() {\n        return code;\n    }\n\n");
        out.append(
                "    /** What is wrong, in general. */\n    public String what() {\n        return what;\n    }\n\n");
        out.append(
                "    /** What to do about it, in general. */\n    public String remedy() {\n        return remedy;\n    }\n\n");
        out.append("    /** The row with this code; empty if the table has none. */\n");
        out.append("    public static Optional<ErrorCode> of(int code) {\n");
        out.append("        for (ErrorCode value : values()) {\n            if (value.code == code) {\n");
        out.append("                return Optional.of(value);\n            }\n        }\n");
        out.append("        return Optional.empty();\n    }\n}\n");
        return out.toString();
    }
}
