package io.caesura.cli;

import io.caesura.capture.CaptureEngine;
import io.caesura.error.CaesuraException;
import io.caesura.fake.FakeCaptureEngine;
import io.caesura.fake.FakeProc;
import io.caesura.fake.FakeScheduler;
import io.caesura.flow.Host;
import io.caesura.flow.Jobs;
import io.caesura.nativelib.NativeFiles;
import io.caesura.policy.Policies;
import io.caesura.scheduler.JobQueue;
import io.caesura.scheduler.Scheduler;
import io.caesura.store.RawFiles;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Commands as the launcher calls them, with a capture that is made up and a home of their own. */
final class CommandFixture implements Services {

    final NativeFiles raw = new NativeFiles();
    final FakeCaptureEngine engine = new FakeCaptureEngine(raw);
    final List<JobQueue> queues = new ArrayList<>();
    private final Path home;
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    CommandFixture(Path home) {
        this.home = home;
    }

    int run(String... args) {
        return run(Map.of(), args);
    }

    int run(Map<String, String> environment, String... args) {
        out.reset();
        err.reset();
        return new Main(
                        this,
                        environment,
                        new PrintStream(out, true, StandardCharsets.UTF_8),
                        new PrintStream(err, true, StandardCharsets.UTF_8))
                .run(args);
    }

    String out() {
        return out.toString(StandardCharsets.UTF_8);
    }

    String err() {
        return err.toString(StandardCharsets.UTF_8);
    }

    @Override
    public CaptureEngine engine() {
        return engine;
    }

    @Override
    public Scheduler scheduler(String name) {
        return new FakeScheduler();
    }

    @Override
    public RawFiles files() {
        return raw;
    }

    @Override
    public Host host() throws CaesuraException {
        return FakeProc.host(home);
    }

    @Override
    public Policies policies() {
        return new Policies(List.of(home.resolve("policies")));
    }

    @Override
    public List<JobQueue> batchQueues() {
        return queues;
    }

    @Override
    public Jobs jobsOf(String user) throws CaesuraException {
        return jobs();
    }
}
