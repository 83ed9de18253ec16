package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The jobs of one cluster in a store: STORE/CLUSTER/JOB. Folders are 0700, files 0600. The store's own path may lead
 * through links, as sites set it up; below it none is followed.
 */
public final class JobStore {

    /** The cluster of jobs that run on this host without a batch system. */
    public static final String LOCAL = "local";

    private static final int FOLDER = RawFiles.O_RDONLY | RawFiles.O_DIRECTORY;

    private static final int ROOT = 0;

    private final RawFiles raw;
    private final Path root;
    private final String cluster;

    public JobStore(RawFiles raw, Path root, String cluster) {
        this.raw = raw;
        this.root = root;
        this.cluster = cluster;
    }

    public Path root() {
        return root;
    }

    /**
     * Makes the folder of a new job.
     *
     * @throws CaesuraException EEXIST if there is one of that name
     */
    public JobFolder create(JobName job) throws CaesuraException {
        makeRoot();
        int clusterFolder = openCluster();
        try {
            raw.makeFolder(clusterFolder, job.value(), 0700);
            requireOwn(clusterFolder, job);
            new DurableFiles(raw, true).syncFolder(clusterFolder);
            return openIn(clusterFolder, job);
        } catch (OsException e) {
            if (e.errno() == Errno.EEXIST) {
                throw new CaesuraException(
                        ErrorCode.EEXIST,
                        "job '" + job + "' exists in " + path(),
                        "choose another name, restart it with cr_restart --job " + job + ", or remove "
                                + path().resolve(job.value()));
            }
            throw e;
        } finally {
            raw.close(clusterFolder);
        }
    }

    /**
     * In a store such as /var/tmp/caesura-%u another user may have been first. What was just made belongs to this one.
     *
     * @throws CaesuraException EUNTRUSTED if somebody else could put another folder in the place of the job's
     */
    private void requireOwn(int clusterFolder, JobName job) throws CaesuraException {
        FileFacts cluster = raw.stat(clusterFolder);
        FileFacts made = raw.stat(clusterFolder, job.value())
                .orElseThrow(() -> new CaesuraException(
                        ErrorCode.EUNTRUSTED, "somebody took " + job + " out of " + path() + " while it was made"));
        if ((cluster.uid() != made.uid() && cluster.uid() != ROOT) || cluster.isOpenToOthers()) {
            raw.removeFolder(clusterFolder, job.value());
            throw new CaesuraException(
                    ErrorCode.EUNTRUSTED,
                    "user " + cluster.uid() + " or others may write in " + path(),
                    "choose another folder for store.dir, or have that one removed");
        }
    }

    /** The job's folder, which the caller closes; empty if there is none. */
    public Optional<JobFolder> open(JobName job) throws CaesuraException {
        Optional<Integer> clusterFolder = openClusterIfThere();
        if (clusterFolder.isEmpty()) {
            return Optional.empty();
        }
        try {
            return Optional.of(openIn(clusterFolder.get(), job));
        } catch (OsException e) {
            if (e.errno() == Errno.ENOENT) {
                return Optional.empty();
            }
            throw e;
        } finally {
            raw.close(clusterFolder.get());
        }
    }

    /** Names of the jobs, sorted. */
    public List<JobName> jobs() throws CaesuraException {
        Optional<Integer> clusterFolder = openClusterIfThere();
        if (clusterFolder.isEmpty()) {
            return List.of();
        }
        try {
            List<String> names = new ArrayList<>(raw.list(clusterFolder.get()));
            names.sort(null);
            List<JobName> jobs = new ArrayList<>();
            for (String name : names) {
                Optional<FileFacts> facts = raw.stat(clusterFolder.get(), name);
                if (!name.startsWith(".") && facts.isPresent() && facts.get().isFolder()) {
                    jobs.add(JobName.parse(name));
                }
            }
            return jobs;
        } finally {
            raw.close(clusterFolder.get());
        }
    }

    /** Gives a job's folder another name, under which there is no job yet. */
    public void rename(JobName job, JobName other) throws CaesuraException {
        int clusterFolder = openCluster();
        try {
            raw.rename(clusterFolder, job.value(), other.value(), RawFiles.RENAME_NOREPLACE);
            new DurableFiles(raw, true).syncFolder(clusterFolder);
        } finally {
            raw.close(clusterFolder);
        }
    }

    /** Removes a job's folder and all its contexts. */
    public void remove(JobName job) throws CaesuraException {
        int clusterFolder = openCluster();
        try {
            DurableFiles durable = new DurableFiles(raw, true);
            durable.removeTree(clusterFolder, job.value());
            durable.syncFolder(clusterFolder);
        } finally {
            raw.close(clusterFolder);
        }
    }

    private Path path() {
        return root.resolve(cluster);
    }

    private JobFolder openIn(int clusterFolder, JobName job) throws CaesuraException {
        int descriptor = raw.openAt(clusterFolder, job.value(), FOLDER | RawFiles.O_NOFOLLOW, 0);
        try {
            FileFacts facts = raw.stat(descriptor);
            if (facts.isOpenToOthers()) {
                throw new CaesuraException(
                        ErrorCode.EUNTRUSTED,
                        "other users may write in " + path().resolve(job.value()),
                        "chmod 700 it");
            }
        } catch (CaesuraException e) {
            raw.close(descriptor);
            throw e;
        }
        return new JobFolder(raw, job, path().resolve(job.value()), descriptor);
    }

    private Optional<Integer> openClusterIfThere() throws CaesuraException {
        try {
            return Optional.of(openCluster());
        } catch (OsException e) {
            if (e.errno() == Errno.ENOENT) {
                return Optional.empty();
            }
            throw e;
        }
    }

    private int openCluster() throws CaesuraException {
        int rootFolder = raw.openAt(RawFiles.AT_FDCWD, root.toString(), FOLDER, 0);
        try {
            return raw.openAt(rootFolder, cluster, FOLDER | RawFiles.O_NOFOLLOW, 0);
        } finally {
            raw.close(rootFolder);
        }
    }

    /** Makes the store, and the folders that lead to it, if they are missing. */
    public void makeRoot() throws CaesuraException {
        Path made = root.getRoot();
        for (Path part : root.resolve(cluster)) {
            made = made == null ? part : made.resolve(part);
            try {
                raw.makeFolder(RawFiles.AT_FDCWD, made.toString(), 0700);
            } catch (OsException e) {
                // Besides EEXIST, a file system may say EROFS or EACCES for a folder that is there.
                if (raw.stat(RawFiles.AT_FDCWD, made.toString()).isEmpty()) {
                    throw e;
                }
            }
        }
    }
}
