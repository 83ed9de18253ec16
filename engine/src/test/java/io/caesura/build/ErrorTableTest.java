package io.caesura.build;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class ErrorTableTest {

    @Test
    void readsRowsAndSkipsComments() {
        List<ErrorTable.Row> rows = ErrorTable.parse(
                "/* CAESURA_ERROR(NO, 1, \"x\", \"y\") */\nCAESURA_ERROR(EPERM_, 1, \"not\", \"run \\\"it\\\"\")\n");
        assertThat(rows).containsExactly(new ErrorTable.Row("EPERM", 1, "not", "run \\\"it\\\""));
    }

    @Test
    void refusesARowThatItDoesNotUnderstand() {
        assertThatThrownBy(
                        () -> ErrorTable.parse("CAESURA_ERROR(A, 1, \"x\", \"y\")\nCAESURA_ERROR(B, , \"x\", \"y\")"))
                .hasMessageContaining("CAESURA_ERROR(B");
        assertThatThrownBy(() -> ErrorTable.parse("/* nothing */")).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void refusesACodeOrNameThatIsThereTwice() {
        String row = "CAESURA_ERROR(A, 1, \"x\", \"y\")\n";
        assertThatThrownBy(() -> ErrorTable.parse(row + "CAESURA_ERROR(B, 1, \"x\", \"y\")"))
                .hasMessageContaining("twice");
        assertThatThrownBy(() -> ErrorTable.parse(row + "CAESURA_ERROR(A, 2, \"x\", \"y\")"))
                .hasMessageContaining("twice");
    }

    @Test
    void theEnumIsTheTable() throws IOException {
        List<ErrorTable.Row> rows = ErrorTable.parse(Files.readString(Path.of("native/include/caesura_errors.def")));
        assertThat(Arrays.stream(ErrorCode.values())
                        .map(e -> new ErrorTable.Row(e.name(), e.code(), e.what(), e.remedy())))
                .containsExactlyElementsOf(rows);
    }

    @Test
    void docsErrorsMdIsUpToDate() throws IOException {
        List<String> lines = Files.readAllLines(Path.of("docs/errors.md"));
        assertThat(lines.stream().filter(line -> line.matches("\\| \\d+ \\|.*")))
                .as("run make errors")
                .containsExactlyElementsOf(Arrays.stream(ErrorCode.values())
                        .map(e -> "| %d | %s | %s | %s |".formatted(e.code(), e.name(), e.what(), e.remedy()))
                        .toList());
    }
}
