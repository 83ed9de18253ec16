package io.caesura.cli;

import io.caesura.flow.JobSelection;
import java.util.List;
import picocli.CommandLine.Command;

/** cr_job release. */
@Command(
        name = "release",
        customSynopsis = "cr_job release SELECTION",
        description = "Lets held jobs start; those with a context go on from it.")
final class JobReleaseCommand extends SelectedJobsCommand {

    JobReleaseCommand(Console console, Services services) {
        super(console, services);
    }

    @Override
    void run(List<JobSelection.Selected> selected, EachJob each) {
        each.run(selected, one -> {
            one.queue().release(one.job().id());
            console().say("job " + one.job().id() + " is released");
        });
    }
}
