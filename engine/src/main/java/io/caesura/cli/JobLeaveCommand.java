package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.JobSelection;
import io.caesura.flow.Requeue;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** cr_job requeue and cr_job hold: the run of a job ends, its state on disk before, and the job stays in the queue. */
abstract class JobLeaveCommand extends SelectedJobsCommand {

    private final Requeue.Order order;

    @Mixin
    private final ForceOptions safety = new ForceOptions();

    @Mixin
    private final WaitOptions time = new WaitOptions();

    private JobLeaveCommand(Console console, Services services, Requeue.Order order) {
        super(console, services);
        this.order = order;
    }

    /** cr_job requeue. */
    @Command(
            name = "requeue",
            customSynopsis = "cr_job requeue [--no-checkpoint] [--force] SELECTION",
            description = "Checkpoints jobs, and then ends their runs and queues them again.")
    static final class ToQueue extends JobLeaveCommand {
        ToQueue(Console console, Services services) {
            super(console, services, Requeue.Order.REQUEUE);
        }
    }

    /** cr_job hold. */
    @Command(
            name = "hold",
            customSynopsis = "cr_job hold [--no-checkpoint] [--force] SELECTION",
            description = "Checkpoints jobs, and then ends their runs and holds them; those that wait are held.")
    static final class ToHold extends JobLeaveCommand {
        ToHold(Console console, Services services) {
            super(console, services, Requeue.Order.HOLD);
        }
    }

    @Override
    final void run(List<JobSelection.Selected> selected, EachJob each) throws CaesuraException {
        Requeue requeue = new Requeue(views(), safety.terms(time), console()::say);
        List<Requeue.Begun> begun = new ArrayList<>();
        // All are asked first, so that they write at the same time.
        each.run(selected, one -> begun.add(requeue.begin(one.queue(), one.job())));
        each.run(begun, job -> {
            requeue.finish(job, order).ifPresent(path -> console().out().println(path));
            console().say("job " + job.job().id() + " is " + order.done());
        });
    }
}
