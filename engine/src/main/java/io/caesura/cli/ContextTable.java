package io.caesura.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.ByteSize;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A context for people, from the library's JSON. The names in it are those of native/src/model/model.h. */
final class ContextTable {

    private static final List<String> STATES = List.of("?", "running", "stopped", "zombie");
    private static final List<String> SCOPES = List.of("pid", "process group", "session", "tree", "job");
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss");

    private final JsonNode context;

    ContextTable(String json) throws CaesuraException {
        try {
            context = new JsonMapper().readTree(json);
        } catch (JsonProcessingException e) {
            throw new CaesuraException(
                    ErrorCode.EENGINE, "the description of the context is not JSON: " + e.getOriginalMessage());
        }
    }

    void print(PrintStream out, List<Path> paths) throws CaesuraException {
        JsonNode scope = context.path("scope");
        long bytes = 0;
        for (Path path : paths) {
            bytes += size(path);
        }
        String name = paths.size() == 1
                ? paths.get(0).toString()
                : paths.size() + " files in " + paths.get(0).getParent();
        out.println(name + ": " + ByteSize.format(bytes));
        out.println("scope    " + choice(SCOPES, scope.path("kind")) + " "
                + scope.path("id").asInt());
        long seconds = scope.path("realtime_ns").asLong() / 1_000_000_000L;
        out.println("written  " + TIME.format(Instant.ofEpochSecond(seconds).atZone(ZoneId.systemDefault())) + " on "
                + scope.path("host").asText() + ", Linux "
                + scope.path("kernel").asText());
        out.println();
        printProcesses(out);
        printDescriptors(out);
    }

    private void printProcesses(PrintStream out) {
        TextTable table = new TextTable("PID", "PPID", "PGID", "SID", "STATE", "THREADS", "MEMORY", "COMMAND");
        for (JsonNode process : context.path("processes")) {
            table.add(
                    process.path("pid").asInt(),
                    process.path("ppid").asInt(),
                    process.path("pgid").asInt(),
                    process.path("sid").asInt(),
                    choice(STATES, process.path("state")),
                    process.path("threads").size(),
                    ByteSize.format(mapped(process)),
                    command(process));
        }
        table.print(out);
    }

    private static long mapped(JsonNode process) {
        long bytes = 0;
        for (JsonNode map : process.path("maps")) {
            bytes += map.path("end").asLong() - map.path("start").asLong();
        }
        return bytes;
    }

    private static String command(JsonNode process) {
        String line = process.path("command_line").asText("").replace('\0', ' ').strip();
        return line.isEmpty() ? process.path("exe").asText() : line;
    }

    private void printDescriptors(PrintStream out) {
        Map<Integer, JsonNode> descriptions = new HashMap<>();
        context.path("descriptions").forEach(d -> descriptions.put(d.path("id").asInt(), d));
        TextTable table = new TextTable("PID", "FD", "POSITION", "FILE");
        for (JsonNode process : context.path("processes")) {
            List<JsonNode> sorted = new ArrayList<>();
            process.path("descriptors").forEach(sorted::add);
            sorted.sort(
                    (a, b) -> Integer.compare(a.path("fd").asInt(), b.path("fd").asInt()));
            for (JsonNode descriptor : sorted) {
                JsonNode description =
                        descriptions.get(descriptor.path("description").asInt());
                if (description != null) {
                    table.add(
                            process.path("pid").asInt(),
                            descriptor.path("fd").asInt(),
                            description.path("position").asLong(),
                            description.path("name").asText());
                }
            }
        }
        if (!table.isEmpty()) {
            out.println();
            table.print(out);
        }
    }

    private static String choice(List<String> choices, JsonNode number) {
        int index = number.asInt();
        return index >= 0 && index < choices.size() ? choices.get(index) : String.valueOf(index);
    }

    private static long size(Path path) throws CaesuraException {
        try {
            return Files.size(path);
        } catch (IOException e) {
            throw new CaesuraException(ErrorCode.EIO, "cannot look at " + path);
        }
    }
}
