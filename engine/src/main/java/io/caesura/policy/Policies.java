package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.TimeSpan;
import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Resolves the SPEC of --checkpoint: a policy's name, a file (a path with a slash), key=value, or a bare interval, with
 * commas between them. The policy `default` is the ground on which everything else stands.
 */
public final class Policies {

    /** The policy that holds where none is named, and from which the others differ. */
    public static final String DEFAULT = "default";

    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*");
    private static final String SUFFIX = ".yaml";
    private static final String ETC = "etc/caesura";
    private static final long LARGEST_FILE = 1 << 20;

    private final List<Path> folders;
    private final Owner owner;

    /** @param folders where policies are looked for; the first that has the name wins */
    public Policies(List<Path> folders) {
        this(folders, Owner.current());
    }

    /** @param folders where policies are looked for; the first that has the name wins */
    public Policies(List<Path> folders, Owner owner) {
        this.folders = List.copyOf(folders);
        this.owner = owner;
    }

    /** The usual folders: the user's, the site's, then those that come with the release. */
    public static Policies standard(Owner owner, Optional<Path> prefix) {
        List<Path> folders = new ArrayList<>();
        folders.add(owner.home().resolve(".config/caesura/policies"));
        prefix.ifPresent(p -> folders.add(p.resolve(ETC).resolve("policies")));
        folders.add(Path.of("/").resolve(ETC).resolve("policies"));
        prefix.ifPresent(p -> folders.add(p.resolve("share/caesura/policies")));
        return new Policies(folders, owner);
    }

    /**
     * Resolves a SPEC.
     *
     * @throws CaesuraException EPOLICY with the file and line, or the part of the SPEC, that is wrong
     */
    public Policy resolve(String spec) throws CaesuraException {
        return explain(spec).policy();
    }

    /** Resolves a SPEC, and tells where each value comes from. @throws CaesuraException as resolve() does */
    public ResolvedPolicy explain(String spec) throws CaesuraException {
        PolicyDraft draft = base();
        new Spec(spec).apply(draft);
        return finish(draft, "--checkpoint=" + spec + ": ");
    }

    private ResolvedPolicy finish(PolicyDraft draft, String prefix) throws CaesuraException {
        if (draft.storeFolder.isPresent()) {
            try {
                draft.storeFolder = Optional.of(StoreFolder.expand(draft.storeFolder.get(), owner));
            } catch (CaesuraException e) {
                throw new CaesuraException(e.code(), prefix + "store.dir: " + e.getMessage(), e.remedy());
            }
        }
        Map<String, String> origins = new TreeMap<>();
        for (PolicyKey key : PolicyKey.values()) {
            origins.put(key.key(), draft.origin(key).orElse("built in"));
        }
        return new ResolvedPolicy(draft.build(), draft.description, origins);
    }

    private PolicyDraft base() throws CaesuraException {
        PolicyDraft draft = new PolicyDraft(Policy.BUILT_IN);
        Optional<Path> file = find(DEFAULT);
        if (file.isPresent()) {
            read(file.get(), draft);
        }
        return draft;
    }

    private Optional<Path> find(String name) {
        return folders.stream()
                .map(folder -> folder.resolve(name + SUFFIX))
                .filter(Files::isRegularFile)
                .findFirst();
    }

    private static void read(Path file, PolicyDraft draft) throws CaesuraException {
        new PolicyFile(file.toString()).apply(draft, text(file, "policy"));
    }

    /** @param what it is, for messages */
    static String text(Path file, String what) throws CaesuraException {
        try {
            // A pipe would block, a device might never end, and the submission waits.
            if (Files.exists(file) && !Files.isRegularFile(file)) {
                throw unreadable(file, what, "it is no regular file");
            }
            if (Files.size(file) > LARGEST_FILE) {
                throw unreadable(file, what, "it is larger than a MiB");
            }
            return Files.readString(file);
        } catch (MalformedInputException e) {
            throw unreadable(file, what, "it is not UTF-8");
        } catch (IOException e) {
            throw unreadable(file, what, e.getClass().getSimpleName());
        }
    }

    private static CaesuraException unreadable(Path file, String what, String why) {
        return new CaesuraException(
                ErrorCode.EPOLICY,
                "cannot read " + what + " " + file + ": " + why,
                "check the path and its permissions");
    }

    /** One SPEC on its way into a draft. */
    private final class Spec {

        private final String spec;
        private final List<String> track = new ArrayList<>();

        Spec(String spec) {
            this.spec = spec;
        }

        void apply(PolicyDraft draft) throws CaesuraException {
            boolean first = true;
            for (String part : spec.split(",", -1)) {
                int equals = part.indexOf('=');
                if (equals > 0 && !part.substring(0, equals).contains("/")) {
                    set(draft, part.substring(0, equals), part.substring(equals + 1));
                } else if (isInterval(part)) {
                    set(draft, PolicyKey.INTERVAL.key(), part);
                } else if (first) {
                    named(draft, part);
                } else {
                    throw invalid("'" + part + "' is neither key=value nor an interval", "put a policy's name first");
                }
                first = false;
            }
        }

        private void set(PolicyDraft draft, String key, String value) throws CaesuraException {
            PolicyKey known = PolicyKey.of(key)
                    .orElseThrow(() -> invalid("unknown key '" + key + "'", "the keys are " + PolicyKey.all()));
            List<String> values = List.of(value);
            if (known == PolicyKey.TRACK) {
                track.add(value);
                values = List.copyOf(track);
            }
            try {
                draft.set(known, values, "--checkpoint=" + spec);
            } catch (CaesuraException e) {
                throw invalid(key + ": " + e.getMessage(), e.remedy());
            }
        }

        private void named(PolicyDraft draft, String name) throws CaesuraException {
            if (name.contains("/")) {
                try {
                    read(Path.of(name), draft);
                } catch (InvalidPathException e) {
                    throw invalid("not a path here", "use characters of the locale only");
                }
                return;
            }
            if (name.equals(DEFAULT)) {
                return;
            }
            if (!NAME.matcher(name).matches()) {
                throw invalid(
                        "not a policy, interval or key=value", "cr_job policy --list shows the policies there are");
            }
            Optional<Path> file = find(name);
            if (file.isEmpty()) {
                String places =
                        String.join(", ", folders.stream().map(Path::toString).toList());
                throw new CaesuraException(
                        ErrorCode.EPOLICY,
                        "no policy '" + name + "' in " + places,
                        "cr_job policy --list shows what there is; a file is named by a path with a slash");
            }
            read(file.get(), draft);
        }

        private boolean isInterval(String part) {
            if (part.equals(Values.OFF)) {
                return true;
            }
            try {
                TimeSpan.parse(part);
                return true;
            } catch (CaesuraException e) {
                return false;
            }
        }

        private CaesuraException invalid(String message, String remedy) {
            return new CaesuraException(ErrorCode.EPOLICY, "--checkpoint=" + spec + ": " + message, remedy);
        }
    }
}
