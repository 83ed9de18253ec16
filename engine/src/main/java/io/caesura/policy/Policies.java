package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.TimeSpan;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Resolves the SPEC of --checkpoint: a policy's name, a file (a path with a slash), key=value, or a bare interval, with
 * commas between them. The policy `default` is the ground on which everything else stands.
 */
public final class Policies {

    /** The policy that holds where none is named, and from which the others differ. */
    public static final String DEFAULT = "default";

    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*");

    private final List<Path> folders;

    /** @param folders where policies are looked for; the first that has the name wins */
    public Policies(List<Path> folders) {
        this.folders = List.copyOf(folders);
    }

    /** The usual folders: the user's, the site's, then those that come with the release. */
    public static Policies standard(Path home, Optional<Path> prefix) {
        List<Path> folders = new ArrayList<>();
        folders.add(home.resolve(".config/caesura/policies"));
        folders.add(Path.of("/etc/caesura/policies"));
        prefix.ifPresent(p -> folders.add(p.resolve("share/caesura/policies")));
        return new Policies(folders);
    }

    /**
     * Resolves a SPEC.
     *
     * @throws CaesuraException EPOLICY with the file and line, or the part of the SPEC, that is wrong
     */
    public Policy resolve(String spec) throws CaesuraException {
        Policy policy = base();
        List<String> track = new ArrayList<>();
        boolean first = true;
        for (String part : spec.split(",", -1)) {
            int equals = part.indexOf('=');
            if (equals > 0 && !part.substring(0, equals).contains("/")) {
                String key = part.substring(0, equals);
                String value = part.substring(equals + 1);
                if (key.equals(PolicyKey.TRACK.key())) {
                    track.add(value);
                    policy = set(policy, spec, key, track);
                } else {
                    policy = set(policy, spec, key, List.of(value));
                }
            } else if (isSpan(part)) {
                policy = set(policy, spec, PolicyKey.INTERVAL.key(), List.of(part));
            } else if (first) {
                policy = named(policy, part);
            } else {
                throw invalid(spec, "'" + part + "' is neither key=value nor an interval", "put a policy's name first");
            }
            first = false;
        }
        return policy;
    }

    private Policy base() throws CaesuraException {
        Optional<Path> file = find(DEFAULT);
        return file.isEmpty() ? Policy.BUILT_IN : read(file.get(), Policy.BUILT_IN);
    }

    private Policy named(Policy base, String name) throws CaesuraException {
        if (name.contains("/")) {
            return read(Path.of(name), base);
        }
        if (name.equals(DEFAULT)) {
            return base;
        }
        if (!NAME.matcher(name).matches()) {
            throw invalid(name, "not a policy, interval or key=value", "see the manual of cr_run");
        }
        Optional<Path> file = find(name);
        if (file.isEmpty()) {
            String places =
                    String.join(", ", folders.stream().map(Path::toString).toList());
            throw new CaesuraException(
                    ErrorCode.EPOLICY,
                    "no policy '" + name + "' in " + places,
                    "check the name, or write a path with a slash");
        }
        return read(file.get(), base);
    }

    private Optional<Path> find(String name) {
        return folders.stream()
                .map(folder -> folder.resolve(name + ".yaml"))
                .filter(Files::isRegularFile)
                .findFirst();
    }

    private static Policy read(Path file, Policy base) throws CaesuraException {
        String text;
        try {
            text = Files.readString(file);
        } catch (IOException e) {
            throw new CaesuraException(
                    ErrorCode.EPOLICY,
                    "cannot read policy " + file + ": " + e.getClass().getSimpleName(),
                    "check the path");
        }
        return new PolicyFile(file.toString()).apply(base, text);
    }

    private static Policy set(Policy policy, String spec, String key, List<String> values) throws CaesuraException {
        PolicyKey known = PolicyKey.of(key)
                .orElseThrow(() -> invalid(spec, "unknown key '" + key + "'", "the keys are " + PolicyKey.all()));
        PolicyKey.Draft draft = new PolicyKey.Draft(policy);
        try {
            known.set(draft, values);
        } catch (CaesuraException e) {
            throw invalid(spec, key + ": " + e.getMessage(), e.remedy());
        }
        return draft.build();
    }

    private static boolean isSpan(String part) {
        try {
            TimeSpan.parse(part);
            return true;
        } catch (CaesuraException e) {
            return false;
        }
    }

    private static CaesuraException invalid(String spec, String message, String remedy) {
        return new CaesuraException(ErrorCode.EPOLICY, "--checkpoint=" + spec + ": " + message, remedy);
    }
}
