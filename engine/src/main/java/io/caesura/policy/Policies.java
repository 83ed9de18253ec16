package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.TimeSpan;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;

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
    private final SiteFile siteFile;

    /** @param folders where policies are looked for; the first that has the name wins */
    public Policies(List<Path> folders) {
        this(folders, Owner.current(), new SiteFile(List.of(), Optional.empty()));
    }

    Policies(List<Path> folders, Owner owner, SiteFile siteFile) {
        this.folders = List.copyOf(folders);
        this.owner = owner;
        this.siteFile = siteFile;
    }

    /** The usual folders: the user's, the site's, then those that come with the release. */
    public static Policies standard(Owner owner, Optional<Path> prefix) {
        List<Path> site = new ArrayList<>();
        prefix.ifPresent(tree -> site.add(tree.resolve(ETC)));
        site.add(Path.of("/").resolve(ETC));
        List<Path> folders = new ArrayList<>();
        folders.add(owner.home().resolve(".config/caesura/policies"));
        site.forEach(etc -> folders.add(etc.resolve("policies")));
        prefix.ifPresent(tree -> folders.add(tree.resolve("share/caesura/policies")));
        List<Path> siteFiles =
                site.stream().map(etc -> etc.resolve("site.yaml")).toList();
        return new Policies(folders, owner, new SiteFile(siteFiles, prefix));
    }

    /**
     * Resolves a SPEC.
     *
     * @throws CaesuraException EPOLICY with the file and line, or the part of the SPEC, that is wrong; also if a limit of
     *     the site is exceeded, or the site's file is not good
     */
    public Policy resolve(String spec) throws CaesuraException {
        return explain(spec).policy();
    }

    /** Resolves a SPEC, and tells where each value comes from. @throws CaesuraException as resolve() does */
    public ResolvedPolicy explain(String spec) throws CaesuraException {
        Site site = siteFile.read(owner);
        PolicyDraft draft = base(site);
        new Spec(spec).apply(draft);
        ResolvedPolicy resolved = finish(draft, prefix(spec));
        site.requireWithin(prefix(spec), resolved.policy(), draft, owner);
        return resolved;
    }

    /** The policy `default`, whatever limits the site has: for finding jobs, not for starting one. */
    public Policy ground() throws CaesuraException {
        return finish(base(siteFile.read(owner)), "").policy();
    }

    /**
     * The policy that a job was started with, as {@link Policy#asMap} was written to its job.json. Files and limits may have
     * changed since; that is for jobs to come, and must not leave this one without an end in good order.
     *
     * @throws CaesuraException EPOLICY if another version wrote what this one does not know
     */
    public Policy recorded(Map<String, Object> policy) throws CaesuraException {
        PolicyDraft draft = new PolicyDraft(Policy.BUILT_IN);
        record(draft, "", policy);
        return finish(draft, "job.json: ").policy();
    }

    private static void record(PolicyDraft draft, String prefix, Map<?, ?> values) throws CaesuraException {
        for (Map.Entry<?, ?> entry : values.entrySet()) {
            String key = prefix + entry.getKey();
            if (entry.getValue() instanceof Map<?, ?> inner) {
                record(draft, key + ".", inner);
                continue;
            }
            PolicyKey known = PolicyKey.of(key)
                    .orElseThrow(() -> new CaesuraException(
                            ErrorCode.EPOLICY, "job.json: unknown key '" + key + "'", "use the release that wrote it"));
            List<String> words = entry.getValue() instanceof List<?> list
                    ? list.stream().map(String::valueOf).toList()
                    : List.of(String.valueOf(entry.getValue()));
            try {
                draft.set(known, words, "job.json");
            } catch (CaesuraException e) {
                throw new CaesuraException(ErrorCode.EPOLICY, "job.json: " + key + ": " + e.getMessage(), e.remedy());
            }
        }
    }

    /** What a policy's folder comes to that names none. */
    public String defaultStore() throws CaesuraException {
        return StoreFolder.expand(StoreFolder.DEFAULT, owner);
    }

    /**
     * A policy that a SPEC can name.
     *
     * @param description its own, or why it is refused
     */
    public record Named(String name, boolean isGood, String description, Path folder) {}

    /** The policies of all folders, by name. Of two with the same name the one that counts. */
    public List<Named> list() throws CaesuraException {
        siteFile.read(owner);
        Map<String, Named> found = new TreeMap<>();
        for (Path folder : folders) {
            for (String name : names(folder)) {
                if (!found.containsKey(name)) {
                    found.put(name, named(name, folder));
                }
            }
        }
        return List.copyOf(found.values());
    }

    private Named named(String name, Path folder) {
        try {
            return new Named(name, true, explain(name).description(), folder);
        } catch (CaesuraException e) {
            return new Named(name, false, String.valueOf(e.getMessage()).replace(prefix(name), ""), folder);
        }
    }

    private static boolean isInterval(String part) {
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

    private static List<String> names(Path folder) throws CaesuraException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(Files::isRegularFile)
                    .map(file -> String.valueOf(file.getFileName()))
                    .filter(file -> file.endsWith(SUFFIX))
                    .map(file -> file.substring(0, file.length() - SUFFIX.length()))
                    .filter(name -> NAME.matcher(name).matches() && !isInterval(name))
                    .toList();
        } catch (NoSuchFileException e) {
            return List.of();
        } catch (IOException | UncheckedIOException e) {
            throw new CaesuraException(
                    ErrorCode.EACCES,
                    "cannot list " + folder + ": " + e.getClass().getSimpleName());
        }
    }

    private static String prefix(String spec) {
        return "--checkpoint=" + spec + ": ";
    }

    private ResolvedPolicy finish(PolicyDraft draft, String prefix) throws CaesuraException {
        if (draft.storeFolder.isPresent()) {
            try {
                draft.storeFolder = Optional.of(StoreFolder.expand(draft.storeFolder.get(), owner));
            } catch (CaesuraException e) {
                throw new CaesuraException(e.code(), prefix + "store.dir: " + e.getMessage(), e.remedy());
            }
        }
        if (draft.checkpointOnCancel && !draft.keepOnCancel) {
            throw new CaesuraException(
                    ErrorCode.EPOLICY,
                    prefix + "cancel: checkpoint (" + origin(draft, PolicyKey.CANCEL) + ") and on-cancel: delete ("
                            + origin(draft, PolicyKey.ON_CANCEL) + "): the checkpoint would be deleted at once",
                    "write cancel=ignore or on-cancel=keep");
        }
        Map<String, String> origins = new TreeMap<>();
        for (PolicyKey key : PolicyKey.values()) {
            origins.put(key.key(), origin(draft, key));
        }
        return new ResolvedPolicy(draft.build(), draft.description, origins);
    }

    private static String origin(PolicyDraft draft, PolicyKey key) {
        return draft.origin(key).orElse("built in");
    }

    private PolicyDraft base(Site site) throws CaesuraException {
        PolicyDraft draft = site.ground();
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
            if (!name.equals(DEFAULT)) {
                draft.description = ""; // that of the policy below
            }
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

        private CaesuraException invalid(String message, String remedy) {
            return new CaesuraException(ErrorCode.EPOLICY, prefix(spec) + message, remedy);
        }
    }
}
