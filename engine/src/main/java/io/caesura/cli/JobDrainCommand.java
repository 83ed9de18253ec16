package io.caesura.cli;

import io.caesura.error.CaesuraException;
import io.caesura.flow.Drain;
import io.caesura.flow.Requeue;
import io.caesura.scheduler.JobQueue;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** cr_job drain. */
@Command(
        name = "drain",
        customSynopsis = "cr_job drain [--reason TEXT] [--timeout SEC] NODE",
        description =
                "Keeps new jobs away from a node, checkpoints and requeues what runs there, and waits until it is "
                        + "empty. Jobs that are not protected are named, and run on.")
@Section("Node")
final class JobDrainCommand implements Subject {

    private final Console console;
    private final Services services;

    @Option(
            names = {"-r", "--reason"},
            paramLabel = "TEXT",
            description = "Why, for the scheduler's list of nodes (default: drained by cr_job).")
    private String reason = "drained by cr_job";

    @Parameters(paramLabel = "NODE", arity = "1", description = "The node.")
    private String node = "";

    @Mixin
    private final ForceOptions safety = new ForceOptions();

    @Mixin
    private final WaitOptions time = new WaitOptions();

    @Mixin
    private final SchedulerOption scheduler = new SchedulerOption();

    @SuppressWarnings("UnusedVariable") // picocli looks at it
    @Mixin
    private final HelpOptions help = new HelpOptions();

    JobDrainCommand(Console console, Services services) {
        this.console = console;
        this.services = services;
    }

    @Override
    public int run() throws CaesuraException {
        JobQueue queue = scheduler.batchQueue(services);
        Requeue requeue = new Requeue(SchedulerOption.views(services), safety.terms(time), console::say);
        List<Drain.Left> left = new Drain(queue, requeue, console::say).run(node, reason, time.limit());
        if (left.isEmpty()) {
            console.out().println("node " + node + " is empty");
            return 0;
        }
        TextTable table = new TextTable("JOB", "USER", "PARTITION", "STATE", "WHY");
        left.forEach(l -> table.add(
                l.job().id(), l.job().user(), l.job().partition(), l.job().word(), l.why()));
        table.print(console.out());
        throw Drain.notEmpty(node, left);
    }
}
