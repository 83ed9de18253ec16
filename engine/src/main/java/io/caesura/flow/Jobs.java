package io.caesura.flow;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
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
import java.util.Objects;
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

    /** Where a policy puts the jobs of this host's own scheduler. */
    public JobStore store(Policy policy) {
        return store(policy, JobStore.LOCAL);
    }

    /** Where a policy puts the jobs of a cluster. */
    public JobStore store(Policy policy, String cluster) {
        return new JobStore(raw, policy.storeFolder().map(Path::of).orElse(state), cluster);
    }

    /** Makes a job's folder, and remembers its store if that is not where one would look. */
    public JobFolder create(Policy policy, JobName job) throws CaesuraException {
        return create(policy, JobStore.LOCAL, job);
    }

    /** The same for a job of a cluster. */
    public JobFolder create(Policy policy, String cluster, JobName job) throws CaesuraException {
        JobFolder folder = store(policy, cluster).create(job);
        remember(store(policy, cluster).root());
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

    /**
     * The job in STORE/CLUSTER/JOB, which the caller closes.
     *
     * @throws CaesuraException ENOJOB if there is none
     */
    public JobFolder open(Path folder) throws CaesuraException {
        Path absolute = folder.toAbsolutePath().normalize();
        Path cluster = absolute.getParent();
        Path root = cluster == null ? null : cluster.getParent();
        if (cluster == null || root == null) {
            throw new CaesuraException(ErrorCode.ENOJOB, folder + " is not the folder of a job");
        }
        JobName name = JobName.parse(String.valueOf(absolute.getFileName()));
        return new JobStore(raw, root, String.valueOf(cluster.getFileName()))
                .open(name)
                .orElseThrow(() -> new CaesuraException(ErrorCode.ENOJOB, "no job in " + folder));
    }

    /**
     * Records how a job ended by itself, or removes it with its contexts if its policy says so.
     *
     * @param waitStatus as wait() gives it
     * @throws CaesuraException EFENCED if run is not the newest, EBUSY if the job is being captured
     */
    public void finish(Policy policy, JobFolder folder, RunIdentity run, int waitStatus) throws CaesuraException {
        try (JobFolder.Lock lock = folder.lock()) {
            folder.requireNewest(run);
            if (!policy.onExit().removes(waitStatus)) {
                folder.writeRun(run.withEnd(waitStatus));
                return;
            }
        }
        remove(folder);
    }

    /** Removes a job and its contexts. */
    public void remove(JobFolder folder) throws CaesuraException {
        Path cluster = Objects.requireNonNull(folder.path().getParent());
        new JobStore(raw, Objects.requireNonNull(cluster.getParent()), String.valueOf(cluster.getFileName()))
                .remove(folder.job());
    }

    /** The stores that may hold jobs of this user, the default one first. */
    public List<JobStore> stores() throws CaesuraException {
        return stores(JobStore.LOCAL);
    }

    /** The same for the jobs of a cluster. */
    public List<JobStore> stores(String cluster) throws CaesuraException {
        List<JobStore> stores = new ArrayList<>();
        stores.add(store(policies.ground(), cluster));
        for (Path root : remembered()) {
            if (stores.stream().noneMatch(store -> store.root().equals(root))) {
                stores.add(new JobStore(raw, root, cluster));
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
