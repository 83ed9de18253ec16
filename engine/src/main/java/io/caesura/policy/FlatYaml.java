package io.caesura.policy;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLParser;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** A YAML file of keys and values as a flat list with lines, so that every complaint can name file and line. */
final class FlatYaml {

    /**
     * A key with what stands after it.
     *
     * @param key with a dot for what stands inside of another key
     * @param values as written; one, unless it is a list
     */
    record Entry(String key, List<String> values, boolean isList, int line) {}

    private final String name;
    private final List<Entry> entries = new ArrayList<>();
    private final Set<String> seen = new HashSet<>();

    private FlatYaml(String name) {
        this.name = name;
    }

    /**
     * Reads a text. An empty one has no entries.
     *
     * @param name of the file, for messages
     * @throws CaesuraException EPOLICY
     */
    static List<Entry> read(String name, String yaml) throws CaesuraException {
        FlatYaml reader = new FlatYaml(name);
        try (YAMLParser parser = new YAMLFactory().createParser(yaml)) {
            reader.readDocument(parser);
        } catch (JsonProcessingException e) {
            int line = e.getLocation() == null ? 0 : e.getLocation().getLineNr();
            throw at(name, line, "not YAML: " + firstLine(e.getOriginalMessage()), "correct it");
        } catch (IOException e) {
            throw new CaesuraException(ErrorCode.EIO, name + ": " + e.getMessage());
        }
        return reader.entries;
    }

    static CaesuraException at(String name, int line, String message, String remedy) {
        return new CaesuraException(ErrorCode.EPOLICY, name + ":" + line + ": " + message, remedy);
    }

    private void readDocument(YAMLParser parser) throws IOException, CaesuraException {
        JsonToken first = parser.nextToken();
        if (first == null || first == JsonToken.VALUE_NULL) {
            return;
        }
        if (first != JsonToken.START_OBJECT) {
            throw at(parser, "not a list of keys and values", "write lines of the form 'key: value'");
        }
        readKeys(parser, "");
        if (parser.nextToken() != null) {
            throw at(parser, "a second document", "write one per file");
        }
    }

    private void readKeys(YAMLParser parser, String prefix) throws IOException, CaesuraException {
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String key = prefix + parser.currentName();
            int line = parser.currentTokenLocation().getLineNr();
            if (parser.currentName().contains(".")) {
                throw at(parser, "a key with a dot: '" + key + "'", "write what stands after the dot on a line below");
            }
            if (!seen.add(key)) {
                throw at(name, line, "'" + key + "' is there twice", "remove one");
            }
            if (parser.nextToken() == JsonToken.START_OBJECT) {
                readKeys(parser, key + ".");
            } else {
                readValue(parser, key, line);
            }
        }
    }

    private void readValue(YAMLParser parser, String key, int line) throws IOException, CaesuraException {
        if (parser.currentToken() != JsonToken.START_ARRAY) {
            entries.add(new Entry(key, List.of(scalar(parser, key)), false, line));
            return;
        }
        List<String> values = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            values.add(scalar(parser, key));
        }
        entries.add(new Entry(key, values, true, line));
    }

    private String scalar(YAMLParser parser, String key) throws IOException, CaesuraException {
        if (!parser.currentToken().isScalarValue() || parser.currentToken() == JsonToken.VALUE_NULL) {
            throw at(parser, key + ": a value is missing", "write one after the colon");
        }
        // YAML has several ways to write the two.
        return parser.currentToken().isBoolean() ? String.valueOf(parser.getBooleanValue()) : parser.getText();
    }

    private CaesuraException at(YAMLParser parser, String message, String remedy) {
        return at(name, parser.currentTokenLocation().getLineNr(), message, remedy);
    }

    private static String firstLine(String text) {
        int end = text.indexOf('\n');
        return end < 0 ? text : text.substring(0, end);
    }
}
