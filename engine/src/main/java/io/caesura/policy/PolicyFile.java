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

/** Reads the YAML of a policy. Every complaint names the file and the line. */
final class PolicyFile {

    private final String name;

    /** @param name of the file, for messages */
    PolicyFile(String name) {
        this.name = name;
    }

    /**
     * The policy that the text makes of base. An empty text changes nothing.
     *
     * @throws CaesuraException EPOLICY
     */
    Policy apply(Policy base, String yaml) throws CaesuraException {
        PolicyKey.Draft draft = new PolicyKey.Draft(base);
        try (YAMLParser parser = new YAMLFactory().createParser(yaml)) {
            JsonToken first = parser.nextToken();
            if (first == null || first == JsonToken.VALUE_NULL) {
                return base;
            }
            if (first != JsonToken.START_OBJECT) {
                throw at(parser, "not a list of keys and values", "write lines of the form 'key: value'");
            }
            readKeys(parser, "", draft, new HashSet<>());
            if (parser.nextToken() != null) {
                throw at(parser, "a second document", "write one policy per file");
            }
        } catch (JsonProcessingException e) {
            int line = e.getLocation() == null ? 0 : e.getLocation().getLineNr();
            throw new CaesuraException(
                    ErrorCode.EPOLICY,
                    name + ":" + line + ": not YAML: " + firstLine(e.getOriginalMessage()),
                    "correct it");
        } catch (IOException e) {
            throw new CaesuraException(ErrorCode.EIO, name + ": " + e.getMessage());
        }
        return draft.build();
    }

    private void readKeys(YAMLParser parser, String prefix, PolicyKey.Draft draft, Set<String> seen)
            throws IOException, CaesuraException {
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String key = prefix + parser.currentName();
            int line = parser.currentTokenLocation().getLineNr();
            if (!seen.add(key)) {
                throw at(line, "'" + key + "' is there twice", "remove one");
            }
            if (parser.nextToken() == JsonToken.START_OBJECT) {
                readKeys(parser, key + ".", draft, seen);
                continue;
            }
            PolicyKey known = PolicyKey.of(key)
                    .orElseThrow(() -> at(line, "unknown key '" + key + "'", "the keys are " + PolicyKey.all()));
            try {
                known.set(draft, readValues(parser, key));
            } catch (CaesuraException e) {
                throw e.getMessage().startsWith(name + ":") ? e : at(line, key + ": " + e.getMessage(), e.remedy());
            }
        }
    }

    private List<String> readValues(YAMLParser parser, String key) throws IOException, CaesuraException {
        if (parser.currentToken() != JsonToken.START_ARRAY) {
            return List.of(scalar(parser, key));
        }
        if (!key.equals(PolicyKey.TRACK.key())) {
            throw at(parser, key + ": one value is needed, not a list", "write one value after the colon");
        }
        List<String> values = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            values.add(scalar(parser, key));
        }
        return values;
    }

    private String scalar(YAMLParser parser, String key) throws IOException, CaesuraException {
        if (!parser.currentToken().isScalarValue() || parser.currentToken() == JsonToken.VALUE_NULL) {
            throw at(parser, key + ": a value is missing", "write one after the colon");
        }
        return parser.getText();
    }

    private CaesuraException at(YAMLParser parser, String message, String remedy) {
        return at(parser.currentTokenLocation().getLineNr(), message, remedy);
    }

    private CaesuraException at(int line, String message, String remedy) {
        return new CaesuraException(ErrorCode.EPOLICY, name + ":" + line + ": " + message, remedy);
    }

    private static String firstLine(String text) {
        int end = text.indexOf('\n');
        return end < 0 ? text : text.substring(0, end);
    }
}
