package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.LocalQueue;
import io.caesura.model.ByteSize;
import io.caesura.model.JobFacts;
import io.caesura.model.JobName;
import io.caesura.model.Manifest;
import io.caesura.store.JobFolder;
import io.caesura.store.JobStore;
import java.io.PrintStream;
import java.util.Optional;

/** The jobs of this user's stores and their contexts. */
final class JobTable {

    private final Services services;

    JobTable(Services services) {
        this.services = services;
    }

    void print(PrintStream out) throws CaesuraException {
        TextTable table = new TextTable("JOB", "STATE", "CONTEXT", "WRITTEN", "SIZE", "PAUSE", "COMMAND");
        for (JobStore store : services.jobs().stores()) {
            for (JobName name : store.jobs()) {
                Optional<JobFolder> folder = store.open(name);
                if (folder.isPresent()) {
                    try (JobFolder open = folder.get()) {
                        addJob(table, open);
                    }
                }
            }
        }
        if (table.isEmpty()) {
            out.println("no jobs");
        } else {
            table.print(out);
        }
    }

    private void addJob(TextTable table, JobFolder job) throws CaesuraException {
        String state = LocalQueue.word(services.host(), job.run());
        String command =
                job.facts().map(JobFacts::command).map(c -> String.join(" ", c)).orElse("?");
        boolean first = true;
        for (int sequence : job.sequences()) {
            String where = job.contextPath(sequence).getFileName() + "";
            String name = first ? job.job().value() : "";
            try {
                Manifest manifest = job.manifest(sequence);
                table.add(
                        name,
                        first ? state : "",
                        where,
                        manifest.written(),
                        ByteSize.format(manifest.cost().totalBytes()),
                        "%.1f ms".formatted(manifest.cost().pauseMs()),
                        first ? command : "");
            } catch (CaesuraException e) {
                table.add(name, first ? state : "", where, "damaged", "-", "-", first ? command : "");
            }
            first = false;
        }
        if (first) {
            table.add(job.job(), state, "-", "-", "-", "-", command);
        }
    }
}
