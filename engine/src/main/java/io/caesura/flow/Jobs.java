package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import io.caesura.policy.Policies;
import io.caesura.policy.Policy;
import io.caesura.store.DurableFiles;
import io.caesura.store.JobFolder;
import io.caesura.store.JobStore;
import io.caesura.store.OsException;
import io.caesura.store.RawFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Finds the jobs of this user, in whatever store their policies put them. A store other than the default one is noted in
 * HOME/.local/state/caesura/stores, one line each.
 */
public final class Jobs {

    private static final String STORES = "stores";

    private final RawFiles raw;
    private final Policies policies;
    private final Path state;

    public Jobs(RawFiles raw, Policies policies, Path home) {
        this.raw = raw;
        this.policies = policies;
        this.state = home.resolve(".local/state/caesura");
    }

    /** The store of a policy. */
    public JobStore store(Policy policy) {
        return new JobStore(raw, policy.storeFolder().map(Path::of).orElse(state), JobStore.LOCAL);
    }

    /** Makes a job's folder, and remembers its store if that is not where one would look. */
    public JobFolder create(Policy policy, JobName job) throws CaesuraException {
        JobFolder folder = store(policy).create(job);
        remember(store(policy).root());
        return folder;
    }

    /**
     * The job's folder, which the caller closes.
     *
     * @throws CaesuraException ENOJOB if there is none
     */
    public JobFolder open(JobName job) throws CaesuraException {
        for (JobStore store : stores()) {
            Optional<JobFolder> folder = store.open(job);
            if (folder.isPresent()) {
                return folder.get();
            }
        }
        String places = String.join(
                ", ", stores().stream().map(s -> s.root().toString()).toList());
        throw new CaesuraException(ErrorCode.ENOJOB, "no job '" + job + "' in " + places);
    }

    /** The stores that may hold jobs of this user, the default one first. */
    public List<JobStore> stores() throws CaesuraException {
        List<JobStore> stores = new ArrayList<>();
        stores.add(store(policies.ground()));
        for (Path root : remembered()) {
            if (stores.stream().noneMatch(store -> store.root().equals(root))) {
                stores.add(new JobStore(raw, root, JobStore.LOCAL));
            }
        }
        return stores;
    }

    private void remember(Path root) throws CaesuraException {
        if (root.equals(state) || remembered().contains(root)) {
            return;
        }
        new JobStore(raw, state, JobStore.LOCAL).makeRoot();
        List<Path> roots = new ArrayList<>();
        for (Path known : remembered()) {
            // A store that was removed is forgotten.
            if (raw.stat(RawFiles.AT_FDCWD, known.toString()).isPresent()) {
                roots.add(known);
            }
        }
        roots.add(root);
        int folder = openState();
        try {
            String text = String.join("\n", roots.stream().map(Path::toString).toList());
            new DurableFiles(raw, true).write(folder, STORES, text + "\n");
        } finally {
            raw.close(folder);
        }
    }

    private List<Path> remembered() throws CaesuraException {
        if (raw.stat(RawFiles.AT_FDCWD, state.toString()).isEmpty()) {
            return List.of();
        }
        int folder = openState();
        try {
            return new DurableFiles(raw, true)
                    .read(folder, STORES)
                    .map(text -> text.lines()
                            .filter(l -> l.startsWith("/"))
                            .map(Path::of)
                            .toList())
                    .orElse(List.of());
        } finally {
            raw.close(folder);
        }
    }

    private int openState() throws OsException {
        return raw.openAt(RawFiles.AT_FDCWD, state.toString(), RawFiles.O_RDONLY | RawFiles.O_DIRECTORY, 0);
    }
}
