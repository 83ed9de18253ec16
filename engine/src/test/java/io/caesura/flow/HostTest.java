package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import io.caesura.model.JobName;
import io.caesura.model.RunIdentity;
import org.junit.jupiter.api.Test;

class HostTest {

    private static RunIdentity run(Host host, int pid, long ticks) {
        return new RunIdentity(0, host.name(), host.bootId(), pid, ticks, 1, null);
    }

    @Test
    void findsTheStartTimeBehindANameWithBlanksAndBrackets() {
        String tail = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        assertThat(Host.parseStartTicks("12 (a) b (c) )" + tail)).contains(4242L);
        assertThat(Host.parseStartTicks("12 (x) S 1")).isEmpty();
        assertThat(Host.parseStartTicks("12 (x)" + tail.replace(" S ", " Z ")))
                .as("a zombie")
                .isEmpty();
    }

    @Test
    void knowsWhetherARunIsAlive() throws CaesuraException {
        Host host = Host.current();
        long ticks = host.startTicks(host.ownPid()).orElseThrow();
        assertThat(host.isAlive(run(host, host.ownPid(), ticks))).isTrue();
        assertThat(host.isAlive(run(host, host.ownPid(), ticks + 1)))
                .as("pid was reused")
                .isFalse();
        assertThat(host.isAlive(run(host, 0, 0))).as("not started").isFalse();
        assertThat(host.isAlive(run(host, host.ownPid(), ticks).withEnd(0))).isFalse();
        assertThat(host.isAlive(new RunIdentity(0, "x", "another boot", host.ownPid(), ticks, 1, null)))
                .isFalse();
    }

    @Test
    void saysWhyARunIsNotToBeHad() throws CaesuraException {
        Host host = Host.current();
        JobName job = JobName.parse("j");
        RunIdentity gone = run(host, 0, 0);
        assertFails(ErrorCode.ENOJOB, "no longer runs", () -> host.requireAlive(gone, job));
        assertFails(ErrorCode.ENOJOB, "has ended", () -> host.requireAlive(gone.withEnd(9), job));
        RunIdentity elsewhere = new RunIdentity(0, "n17", "boot", 1, 1, 1, null);
        assertFails(ErrorCode.ENOJOB, "runs on n17", () -> host.requireAlive(elsewhere, job));
    }

    @Test
    void refusesASecondCopyOfARunningJob() throws CaesuraException {
        Host host = Host.current();
        JobName job = JobName.parse("j");
        RunIdentity own =
                run(host, host.ownPid(), host.startTicks(host.ownPid()).orElseThrow());
        assertFails(ErrorCode.EBUSY, "'j' is running here, under process 1", () -> host.requireDead(own, job));
        host.requireDead(own.withEnd(0), job);
        host.requireDead(run(host, 0, 0), job);
    }
}
