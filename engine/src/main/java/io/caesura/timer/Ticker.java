package io.caesura.timer;

import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import org.quartz.DisallowConcurrentExecution;
import org.quartz.Job;
import org.quartz.JobBuilder;
import org.quartz.JobDetail;
import org.quartz.JobExecutionContext;
import org.quartz.Scheduler;
import org.quartz.SchedulerException;
import org.quartz.SimpleScheduleBuilder;
import org.quartz.SimpleTrigger;
import org.quartz.TriggerBuilder;
import org.quartz.impl.StdSchedulerFactory;

/**
 * Calls something again and again, always on the same thread. A tick that comes due while the last one still runs is left
 * out: ticks never overlap and never pile up.
 */
public final class Ticker implements AutoCloseable {

    private static final String TICK = "tick";
    private static final String FAILURE = "failure";

    /** Quartz tells its schedulers apart by name, for the whole process. */
    private static final AtomicInteger NUMBER = new AtomicInteger();

    private final Scheduler scheduler;

    private Ticker(Scheduler scheduler) {
        this.scheduler = scheduler;
    }

    /** Told of exceptions that a tick did not expect; the next tick comes all the same. */
    @FunctionalInterface
    public interface FailureHandler {
        void failed(RuntimeException failure);
    }

    /** Starts ticking; the first tick comes after one interval. */
    public static Ticker every(Duration interval, Runnable tick, FailureHandler failures) {
        try {
            Scheduler scheduler = new StdSchedulerFactory(settings(interval)).getScheduler();
            JobDetail job = JobBuilder.newJob(Tick.class).build();
            job.getJobDataMap().put(TICK, tick);
            job.getJobDataMap().put(FAILURE, failures);
            SimpleTrigger trigger = TriggerBuilder.newTrigger()
                    .startAt(Date.from(Instant.now().plus(interval)))
                    .withSchedule(SimpleScheduleBuilder.simpleSchedule()
                            .withIntervalInMilliseconds(interval.toMillis())
                            .repeatForever()
                            .withMisfireHandlingInstructionNextWithRemainingCount())
                    .build();
            scheduler.scheduleJob(job, trigger);
            scheduler.start();
            return new Ticker(scheduler);
        } catch (SchedulerException e) {
            throw new IllegalStateException("the timer does not start", e);
        }
    }

    private static Properties settings(Duration interval) {
        // Quartz calls a tick missed when it is this late; later than that it waits for the next one. Its own 60 s
        // would
        // make up for missed ticks of a short interval one after the other.
        long missedAfterMs = Math.max(1, Math.min(1000, interval.toMillis() / 2));
        Properties settings = new Properties();
        settings.setProperty("org.quartz.scheduler.instanceName", "caesura-" + NUMBER.incrementAndGet());
        settings.setProperty("org.quartz.scheduler.makeSchedulerThreadDaemon", "true");
        settings.setProperty("org.quartz.scheduler.skipUpdateCheck", "true");
        settings.setProperty("org.quartz.threadPool.class", "org.quartz.simpl.SimpleThreadPool");
        settings.setProperty("org.quartz.threadPool.threadCount", "1");
        settings.setProperty("org.quartz.threadPool.makeThreadsDaemons", "true");
        settings.setProperty("org.quartz.jobStore.class", "org.quartz.simpl.RAMJobStore");
        settings.setProperty("org.quartz.jobStore.misfireThreshold", String.valueOf(missedAfterMs));
        return settings;
    }

    /** Stops ticking, and waits for a tick that runs. */
    @Override
    public void close() {
        try {
            scheduler.shutdown(true);
        } catch (SchedulerException e) {
            throw new IllegalStateException("the timer does not stop", e);
        }
    }

    /** Quartz makes one of these for each tick. */
    @DisallowConcurrentExecution
    public static final class Tick implements Job {
        @Override
        public void execute(JobExecutionContext context) {
            Object tick = context.getMergedJobDataMap().get(TICK);
            Object failures = context.getMergedJobDataMap().get(FAILURE);
            try {
                ((Runnable) Objects.requireNonNull(tick)).run();
            } catch (RuntimeException e) {
                // Quartz would only log it.
                ((FailureHandler) Objects.requireNonNull(failures)).failed(e);
            }
        }
    }
}
