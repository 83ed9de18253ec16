package io.caesura.it;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A job of the local scheduler from start to end, with the installed commands: -Dcaesura.prefix names their tree, and the
 * build runs this class only when it is given.
 */
@Timeout(120)
class LocalJobIT {

    private static final int LINES = 100;

    @TempDir
    Path folder;

    private Path work;
    private String name;
    private String spec;

    @BeforeEach
    void write() throws IOException {
        work = Files.createDirectory(folder.resolve("work"));
        name = "it-" + ProcessHandle.current().pid() + "-" + System.nanoTime();
        spec = "300ms,keep=2,track=job-folder,store.dir=" + folder.resolve("store");
        Files.writeString(
                work.resolve("job.sh"),
                "i=0; while [ $i -lt " + LINES + " ]; do i=$((i+1)); echo $i >> out; sleep 0.05; done; exit 3\n");
    }

    /** Each command has a stderr of its own: that of a job is a file of the job, and a restart cuts it back. */
    private Process start(String... words) throws IOException {
        List<String> command = new ArrayList<>(Arrays.asList(words));
        command.set(
                0,
                Path.of(System.getProperty("caesura.prefix"), "bin", words[0])
                        .toAbsolutePath()
                        .toString());
        return new ProcessBuilder(command)
                .directory(work.toFile())
                .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
                .redirectOutput(folder.resolve(words[0] + ".out").toFile())
                .redirectError(folder.resolve(words[0] + ".err").toFile())
                .start();
    }

    private int run(String... words) throws IOException, InterruptedException {
        Process process = start(words);
        assertThat(process.waitFor(60, TimeUnit.SECONDS))
                .as(String.join(" ", words))
                .isTrue();
        return process.exitValue();
    }

    private Path context(int sequence) {
        return folder.resolve("store/local/" + name + "/" + "%06d".formatted(sequence));
    }

    private void awaitContext(int sequence) throws InterruptedException, IOException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!Files.exists(context(sequence))) {
            assertThat(System.nanoTime())
                    .as("no context " + sequence + "; " + Files.readString(folder.resolve("cr_run.err")))
                    .isLessThan(end);
            Thread.sleep(20);
        }
    }

    private void assertEveryLineOnce() throws IOException {
        assertThat(Files.readAllLines(work.resolve("out")))
                .containsExactlyElementsOf(IntStream.rangeClosed(1, LINES)
                        .mapToObj(String::valueOf)
                        .toList());
    }

    @Test
    void aTimerKeepsContextsAndTheJobsStatusIsPassedOn() throws Exception {
        Process job = start("cr_run", "--checkpoint", spec, "--name", name, "--", "/bin/sh", "job.sh");
        awaitContext(3);
        assertThat(run("cr_checkpoint", "--job", name)).isZero();
        assertThat(job.waitFor()).isEqualTo(3);
        assertEveryLineOnce();
        assertThat(context(1)).doesNotExist();
        assertThat(folder.resolve("store/local/" + name + "/run.json"))
                .content()
                .contains("\"ended\" : 768");
    }

    @Test
    void aKilledJobGoesOnFromItsNewestContextWithoutLosingALine() throws Exception {
        Process job = start("cr_run", "--checkpoint", spec, "--name", name, "--", "/bin/sh", "job.sh");
        awaitContext(2);
        job.destroyForcibly().waitFor();
        assertThat(run("cr_restart", "--job", name)).isEqualTo(3);
        assertEveryLineOnce();
    }

    @Test
    void aDamagedContextIsPassedOver() throws Exception {
        Process job = start("cr_run", "--checkpoint", spec, "--name", name, "--", "/bin/sh", "job.sh");
        awaitContext(2);
        job.destroyForcibly().waitFor();
        List<Path> contexts;
        try (var entries = Files.list(folder.resolve("store/local/" + name))) {
            contexts = entries.filter(p -> p.getFileName().toString().matches("\\d{6}"))
                    .sorted()
                    .toList();
        }
        Path newest = contexts.get(contexts.size() - 1);
        Path file;
        try (var entries = Files.list(newest)) {
            file = entries.filter(p -> p.getFileName().toString().startsWith("context."))
                    .findFirst()
                    .orElseThrow();
        }
        byte[] bytes = Files.readAllBytes(file);
        bytes[bytes.length / 2] ^= 0x10;
        Files.write(file, bytes);
        assertThat(run("cr_restart", "--job", name)).isEqualTo(3);
        assertThat(folder.resolve("cr_restart.err")).content().contains(newest + " is not usable");
        assertEveryLineOnce();
    }
}
