package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.JobSelection;
import io.caesura.flow.JobView;
import io.caesura.flow.JobViews;
import io.caesura.flow.StoredJob;
import java.util.List;
import picocli.CommandLine.Command;

/** cr_job cancel. */
@Command(
        name = "cancel",
        customSynopsis = "cr_job cancel SELECTION",
        description = "Ends jobs for good, and says what becomes of their contexts.")
final class JobCancelCommand extends SelectedJobsCommand {

    JobCancelCommand(Console console, Services services) {
        super(console, services);
    }

    @Override
    void run(List<JobSelection.Selected> selected, EachJob each) {
        JobViews views = views();
        each.run(selected, one -> cancel(views, one));
    }

    private void cancel(JobViews views, JobSelection.Selected selected) throws CaesuraException {
        JobView view = views.view(selected.queue().cluster(), selected.job());
        selected.queue().cancel(selected.job().id());
        console().say("job " + selected.job().id() + " is cancelled; " + fate(view));
    }

    private String fate(JobView view) {
        if (view.hidden().isPresent()) {
            return "its contexts cannot be seen: " + view.hidden().get();
        }
        if (view.stored().isEmpty() || view.stored().get().contexts().isEmpty()) {
            return "it has no contexts";
        }
        StoredJob stored = view.stored().get();
        // It is the job's own engine that deletes them, and a job that waits has none.
        boolean isDeleted = view.job().isRunning()
                && stored.facts()
                        .filter(facts -> "delete".equals(facts.policy().get("on-cancel")))
                        .isPresent();
        return "its contexts in " + stored.path() + (isDeleted ? " are deleted, as its policy says" : " are kept");
    }
}
