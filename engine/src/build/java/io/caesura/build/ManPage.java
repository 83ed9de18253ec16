package io.caesura.build;

import io.caesura.cli.Usage;
import io.caesura.error.ErrorCode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * A manual page in roff: prose from a template, what the program knows by itself from the program. In the template, a line
 * {@code @SYNOPSIS@}, {@code @OPTIONS@} or {@code @EXIT_STATUS@} is replaced, and {@code @VERSION@} anywhere.
 */
public final class ManPage {

    private final CommandSpec spec;
    private final String version;

    public ManPage(CommandSpec spec, String version) {
        this.spec = spec;
        this.version = version;
    }

    /** The page. A placeholder that is missing from the template is an error: a page without options helps nobody. */
    public String render(String template) {
        String page = template.replace("@VERSION@", version);
        page = put(page, "@SYNOPSIS@\n", synopsis());
        page = put(page, "@OPTIONS@\n", options());
        return put(page, "@EXIT_STATUS@\n", exitStatus());
    }

    private static String put(String page, String placeholder, String text) {
        if (!page.contains("\n" + placeholder)) {
            throw new IllegalArgumentException("no line " + placeholder.strip() + " in the template");
        }
        return page.replace(placeholder, text);
    }

    private String synopsis() {
        StringBuilder out = new StringBuilder();
        List<String> lines = new ArrayList<>();
        spec.subcommands()
                .values()
                .forEach(command -> lines.addAll(
                        List.of(command.getCommandSpec().usageMessage().customSynopsis())));
        for (String line : lines.isEmpty() ? List.of(spec.usageMessage().customSynopsis()) : lines) {
            String[] words = line.split(" ", 2);
            out.append(out.isEmpty() ? "" : ".br\n");
            out.append(".B ")
                    .append(escape(words[0]))
                    .append('\n')
                    .append(emphasizeArguments(words[1]))
                    .append('\n');
        }
        return out.toString();
    }

    /** Words in capitals are what the user puts in. */
    private static String emphasizeArguments(String text) {
        return escape(text).replaceAll("\\b[A-Z]{2,}\\b", "\\\\fI$0\\\\fR");
    }

    private String options() {
        StringBuilder out = new StringBuilder(options(spec, true));
        spec.subcommands().forEach((name, command) -> {
            out.append(".SS ")
                    .append(escape("\"" + spec.qualifiedName() + " " + name + "\""))
                    .append('\n');
            out.append(text(String.join(
                            " ", command.getCommandSpec().usageMessage().description())))
                    .append('\n');
            out.append(options(command.getCommandSpec(), false));
        });
        return out.toString();
    }

    private static String options(CommandSpec spec, boolean whole) {
        StringBuilder out = new StringBuilder();
        for (Usage.Group group : Usage.groups(spec)) {
            // What every command has is told once.
            if (!whole && group.options().stream().anyMatch(OptionSpec::usageHelp)) {
                continue;
            }
            out.append(whole ? ".SS " + escape(group.heading()) + "\n" : "");
            for (OptionSpec option : group.options()) {
                out.append(".TP\n").append(names(option)).append('\n');
                out.append(text(String.join(" ", option.description()))).append('\n');
            }
            if (!group.note().isEmpty()) {
                out.append(".PP\n").append(text(group.note())).append('\n');
            }
        }
        return out.toString();
    }

    private static String names(OptionSpec option) {
        String argument = "";
        if (option.arity().max() > 0) {
            String label = "\\fI" + escape(option.paramLabel()) + "\\fR";
            boolean longOnly = Stream.of(option.names()).allMatch(name -> name.startsWith("--"));
            argument = option.arity().min() == 0 ? "[=" + label + "]" : (longOnly ? "=" : " ") + label;
        }
        List<String> names = Stream.of(option.names())
                .map(name -> "\\fB" + escape(name) + "\\fR")
                .toList();
        return String.join(", ", names) + argument;
    }

    private static String exitStatus() {
        StringBuilder out = new StringBuilder();
        Stream.of(ErrorCode.values())
                .sorted(Comparator.comparingInt(ErrorCode::code))
                .forEach(code -> out.append(".TP\n\\fB")
                        .append(code.code())
                        .append("\\fR (")
                        .append(code.name())
                        .append(")\n")
                        .append(text(code.what() + "."))
                        .append('\n'));
        return out.toString();
    }

    /** A line of text: one that begins with a dot or an apostrophe would be a request. */
    static String text(String line) {
        String escaped = escape(line);
        return escaped.startsWith(".") || escaped.startsWith("'") ? "\\&" + escaped : escaped;
    }

    /** Backslashes and dashes mean something to roff; a plain dash would come out as a hyphen that cannot be copied. */
    static String escape(String text) {
        return text.replace("\\", "\\e").replace("-", "\\-");
    }
}
