package io.caesura.cli;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Runs something when time is up, unless it is disarmed before. It has a thread of its own, as the capture's may hang. */
final class Deadline implements AutoCloseable {

    private final CountDownLatch disarmed = new CountDownLatch(1);

    private Deadline() {}

    /** @param limit zero: never */
    static Deadline arm(Duration limit, Runnable expired) {
        Deadline deadline = new Deadline();
        if (!limit.isZero()) {
            Thread thread = new Thread(() -> deadline.watch(limit, expired), "deadline");
            thread.setDaemon(true);
            thread.start();
        }
        return deadline;
    }

    private void watch(Duration limit, Runnable expired) {
        try {
            if (!disarmed.await(limit.toNanos(), TimeUnit.NANOSECONDS)) {
                expired.run();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        disarmed.countDown();
    }
}
