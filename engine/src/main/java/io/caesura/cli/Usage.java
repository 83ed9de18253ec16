package io.caesura.cli;

import java.lang.reflect.Field;
import java.lang.reflect.Member;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/** The text of --help, by sections. */
public final class Usage {

    private static final int COLUMN = 26;
    private static final int WIDTH = 79;

    /** A heading and its options, in the order of the source. */
    public record Group(String heading, String note, List<OptionSpec> options) {}

    private Usage() {}

    /** The options that people are told of, by section. */
    public static List<Group> groups(CommandSpec spec) {
        Map<Class<?>, List<OptionSpec>> byClass = new LinkedHashMap<>();
        for (Class<?> section : sectionsInOrder(spec)) {
            byClass.put(section, new ArrayList<>());
        }
        for (OptionSpec option : spec.options()) {
            if (!option.hidden()) {
                byClass.computeIfAbsent(sectionOf(option), unused -> new ArrayList<>())
                        .add(option);
            }
        }
        Map<String, Group> groups = new LinkedHashMap<>();
        byClass.forEach((type, options) -> {
            Section section = type.getAnnotation(Section.class);
            String heading = section == null ? "Options" : section.value();
            Group group = groups.computeIfAbsent(
                    heading, h -> new Group(h, section == null ? "" : section.note(), new ArrayList<>()));
            group.options().addAll(options);
        });
        // The order of methods in a class is not the source's, so options say theirs.
        groups.values().forEach(group -> group.options().sort(Comparator.comparingInt(OptionSpec::order)));
        return groups.values().stream().filter(g -> !g.options().isEmpty()).toList();
    }

    /** The command's own class, then its mixins as they are declared, its base class's last: picocli sorts them by name. */
    private static List<Class<?>> sectionsInOrder(CommandSpec spec) {
        List<Class<?>> sections = new ArrayList<>();
        Class<?> command = spec.userObject().getClass();
        sections.add(command);
        for (Class<?> type = command; type != null; type = type.getSuperclass()) {
            Arrays.stream(type.getDeclaredFields())
                    .map(Field::getType)
                    .filter(field -> field.isAnnotationPresent(Section.class))
                    .forEach(sections::add);
        }
        return sections;
    }

    private static Class<?> sectionOf(OptionSpec option) {
        Object member = option.userObject();
        if (member instanceof Member declared) {
            return declared.getDeclaringClass();
        }
        throw new IllegalStateException("option without a member: " + option.longestName());
    }

    static String synopsis(CommandSpec spec) {
        return "Usage: " + String.join("\n       ", spec.usageMessage().customSynopsis());
    }

    static String text(CommandSpec spec) {
        StringBuilder text = new StringBuilder(synopsis(spec)).append("\n\n");
        for (String paragraph : spec.usageMessage().description()) {
            wrap(text, paragraph, 0);
        }
        if (!spec.subcommands().isEmpty()) {
            text.append("\nCommands:\n");
            spec.subcommands()
                    .forEach((name, command) -> entry(
                            text,
                            "  " + name,
                            String.join(
                                    " ", command.getCommandSpec().usageMessage().description())));
            wrap(text, "  See " + spec.qualifiedName() + " COMMAND --help.", 2);
        }
        for (Group group : groups(spec)) {
            text.append('\n').append(group.heading()).append(":\n");
            for (OptionSpec option : group.options()) {
                option(text, option);
            }
            if (!group.note().isEmpty()) {
                wrap(text, "  " + group.note(), 2);
            }
        }
        return text.toString();
    }

    /** Names with their argument, such as "-S, --signal NUM". */
    public static String names(OptionSpec option) {
        String names = String.join(", ", option.names());
        if (option.arity().max() == 0) {
            return names;
        }
        String label = option.paramLabel();
        return option.arity().min() == 0
                ? names + "[=" + label + "]"
                : names + (option.names().length == 1 && option.longestName().startsWith("--") ? "=" : " ") + label;
    }

    private static void option(StringBuilder text, OptionSpec option) {
        // Long names without a short one stand below the others' long names, as in BLCR's help.
        String names = names(option);
        entry(text, (names.startsWith("--") ? "      " : "  ") + names, String.join(" ", option.description()));
    }

    private static void entry(StringBuilder text, String left, String description) {
        if (left.length() > COLUMN - 2) {
            text.append(left).append('\n');
            wrap(text, " ".repeat(COLUMN) + description, COLUMN);
        } else {
            wrap(text, left + " ".repeat(COLUMN - left.length()) + description, COLUMN);
        }
    }

    private static void wrap(StringBuilder text, String paragraph, int indent) {
        String rest = paragraph;
        while (rest.length() > WIDTH) {
            int cut = rest.lastIndexOf(' ', WIDTH);
            if (cut <= indent) {
                break;
            }
            text.append(rest, 0, cut).append('\n');
            rest = " ".repeat(indent) + rest.substring(cut + 1);
        }
        text.append(rest).append('\n');
    }
}
