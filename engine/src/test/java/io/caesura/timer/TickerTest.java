package io.caesura.timer;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class TickerTest {

    private static final Duration SHORT = Duration.ofMillis(50);

    @Test
    void ticksAfterTheIntervalAndAlwaysOnOneThread() throws InterruptedException {
        CountDownLatch three = new CountDownLatch(3);
        List<String> threads = Collections.synchronizedList(new ArrayList<>());
        long start = System.nanoTime();
        try (Ticker ticker = Ticker.every(
                SHORT,
                () -> {
                    threads.add(Thread.currentThread().getName());
                    three.countDown();
                },
                failure -> {})) {
            assertThat(three.await(10, TimeUnit.SECONDS)).isTrue();
        }
        assertThat(System.nanoTime() - start).isGreaterThanOrEqualTo(3 * SHORT.toNanos() - 20_000_000);
        assertThat(threads.stream().distinct()).hasSize(1);
    }

    @Test
    void ticksNeitherOverlapNorPileUp() throws InterruptedException {
        AtomicInteger running = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        List<Long> starts = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch slowDone = new CountDownLatch(1);
        CountDownLatch five = new CountDownLatch(5);
        try (Ticker ticker = Ticker.every(
                SHORT,
                () -> {
                    most.accumulateAndGet(running.incrementAndGet(), Math::max);
                    starts.add(System.nanoTime());
                    if (slowDone.getCount() > 0) {
                        sleep(SHORT.multipliedBy(10));
                        slowDone.countDown();
                    }
                    running.decrementAndGet();
                    five.countDown();
                },
                failure -> {})) {
            assertThat(five.await(20, TimeUnit.SECONDS)).isTrue();
        }
        assertThat(most).hasValue(1);
        // Ten ticks came due during the slow one. Were they made up for, the next would follow at once, one after the
        // other.
        long thirdToFifth = starts.get(4) - starts.get(2);
        assertThat(thirdToFifth).isGreaterThan(SHORT.toNanos());
    }

    @Test
    void aTickThatFailsIsToldAndTheNextComes() throws InterruptedException {
        CountDownLatch two = new CountDownLatch(2);
        List<String> failures = Collections.synchronizedList(new ArrayList<>());
        try (Ticker ticker = Ticker.every(
                SHORT,
                () -> {
                    two.countDown();
                    throw new IllegalStateException("tick " + two.getCount());
                },
                failure -> failures.add(failure.getMessage()))) {
            assertThat(two.await(10, TimeUnit.SECONDS)).isTrue();
        }
        assertThat(failures).startsWith("tick 1", "tick 0");
    }

    @Test
    void closingWaitsForTheRunningTickAndEndsTicking() throws InterruptedException {
        CountDownLatch started = new CountDownLatch(1);
        AtomicInteger finished = new AtomicInteger();
        Ticker ticker = Ticker.every(
                SHORT,
                () -> {
                    started.countDown();
                    sleep(SHORT.multipliedBy(4));
                    finished.incrementAndGet();
                },
                failure -> {});
        assertThat(started.await(10, TimeUnit.SECONDS)).isTrue();
        ticker.close();
        int ticks = finished.get();
        assertThat(ticks).isPositive();
        Thread.sleep(SHORT.multipliedBy(6).toMillis());
        assertThat(finished).hasValue(ticks);
    }

    private static void sleep(Duration span) {
        try {
            Thread.sleep(span.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
