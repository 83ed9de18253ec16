package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

/** Finds the site's file, and reads it if nobody but the administrator can have written it. */
final class SiteFile {

    private static final int GROUP_OR_OTHERS_WRITE = 022;
    private static final int ROOT = 0;

    private final List<Path> places;
    private final Optional<Path> tree;

    /**
     * @param places the first one that is there counts
     * @param tree the installed tree: its owner may set limits, as he may change the programs
     */
    SiteFile(List<Path> places, Optional<Path> tree) {
        this.places = List.copyOf(places);
        this.tree = tree;
    }

    /** @throws CaesuraException EPOLICY if the file is there but not good: no limits must not come from a broken file */
    Site read(Owner owner) throws CaesuraException {
        for (Path place : places) {
            if (isThere(place)) {
                requireTrusted(place);
                return Site.parse(place.toString(), Policies.text(place, "site file"), owner);
            }
        }
        return Site.none();
    }

    private static boolean isThere(Path file) throws CaesuraException {
        try {
            Files.readAttributes(file, "unix:uid");
            return true;
        } catch (NoSuchFileException e) {
            return Files.isSymbolicLink(file) && refuse(file, "it is a link that leads nowhere");
        } catch (IOException e) {
            return refuse(file, e.getClass().getSimpleName());
        }
    }

    private static boolean refuse(Path file, String why) throws CaesuraException {
        throw new CaesuraException(
                ErrorCode.EPOLICY, "cannot read site file " + file + ": " + why, "the administrator has to mend it");
    }

    /** The file, the two folders above it (etc/caesura), and where a link leads to. */
    private void requireTrusted(Path file) throws CaesuraException {
        Set<Integer> trusted = new HashSet<>(Set.of(ROOT));
        try {
            if (tree.isPresent()) {
                trusted.add(number(Files.readAttributes(tree.get(), "unix:uid"), "uid"));
            }
            Path real = file.toRealPath();
            requireTrusted(file, real, trusted);
            for (Path named : List.of(file.toAbsolutePath(), real)) {
                Path folder = named.getParent();
                for (int up = 0; up < 2 && folder != null; up++, folder = folder.getParent()) {
                    requireTrusted(file, folder, trusted);
                }
            }
        } catch (IOException e) {
            refuse(file, e.getClass().getSimpleName());
        }
    }

    private static void requireTrusted(Path file, Path part, Set<Integer> trusted)
            throws IOException, CaesuraException {
        Map<String, Object> facts = Files.readAttributes(part, "unix:uid,mode");
        int uid = number(facts, "uid");
        int mode = number(facts, "mode");
        if (trusted.contains(uid) && (mode & GROUP_OR_OTHERS_WRITE) == 0) {
            return;
        }
        String what = part.equals(file) ? "it" : part.toString();
        String why = trusted.contains(uid)
                ? "%s may be written by others (mode %04o)".formatted(what, mode & 07777)
                : what + " belongs to user " + uid;
        throw new CaesuraException(
                ErrorCode.EPOLICY,
                "site file " + file + " is not used: " + why,
                "the administrator has to give " + part + " to root and take the right to write from group and others");
    }

    private static int number(Map<String, Object> facts, String name) {
        return (Integer) Objects.requireNonNull(facts.get(name), name);
    }
}
