package io.caesura.cli;

import io.caesura.model.ByteSize;
import io.caesura.policy.ResolvedPolicy;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** A policy as YAML that is a policy file again, with a remark at each value on where it was set. */
final class PolicyText {

    private static final int COLUMN = 32;
    private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9/][A-Za-z0-9/._+-]*");
    private static final List<String> WORDS_OF_YAML =
            List.of("on", "off", "yes", "no", "true", "false", "null", "y", "n");

    private final ResolvedPolicy resolved;
    private final StringBuilder text = new StringBuilder("---\n");

    PolicyText(ResolvedPolicy resolved) {
        this.resolved = resolved;
    }

    /** @param defaultStore where contexts go if the policy does not say */
    String render(String defaultStore) {
        if (!resolved.description().isEmpty()) {
            text.append("description: ").append(quoted(resolved.description())).append('\n');
        }
        map(resolved.policy().asMap(), "", "");
        if (resolved.policy().storeFolder().isEmpty()) {
            line("# store: dir:", defaultStore, "store.dir");
        }
        return text.toString();
    }

    private void map(Map<?, ?> map, String indent, String prefix) {
        map.forEach((name, value) -> {
            String key = prefix + name;
            String label = indent + name + ":";
            if (value instanceof Map<?, ?> inner) {
                text.append(label).append('\n');
                map(inner, indent + "  ", key + ".");
            } else if (value instanceof List<?> list) {
                line(label, list.isEmpty() ? "[]" : "", key);
                list.forEach(item -> text.append(indent)
                        .append("  - ")
                        .append(scalar(String.valueOf(item)))
                        .append('\n'));
            } else if (value instanceof Long bytes) {
                line(label, ByteSize.formatExact(bytes), key);
            } else {
                line(label, value instanceof String word ? scalar(word) : String.valueOf(value), key);
            }
        });
    }

    private void line(String label, String value, String key) {
        String line = value.isEmpty() ? label : label + " " + value;
        // A SPEC may hold what ends a comment.
        String origin = String.valueOf(resolved.origins().get(key)).replaceAll("\\p{Cntrl}", "?");
        text.append(line)
                .append(" ".repeat(Math.max(2, COLUMN - line.length())))
                .append("# ")
                .append(origin)
                .append('\n');
    }

    private static String scalar(String value) {
        return PLAIN.matcher(value).matches() && !WORDS_OF_YAML.contains(value) ? value : quoted(value);
    }

    private static String quoted(String value) {
        StringBuilder quoted = new StringBuilder("\"");
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (Character.isISOControl(c)) {
                quoted.append("\\x")
                        .append("0123456789abcdef".charAt(c >> 4))
                        .append("0123456789abcdef".charAt(c & 15));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }
}
