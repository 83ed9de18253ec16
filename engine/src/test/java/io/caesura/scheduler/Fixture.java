package io.caesura.scheduler;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Objects;

/** Output of Slurm 22.05 and OpenPBS 23.06, captured from private clusters. */
final class Fixture {

    private Fixture() {}

    static String slurm(String name) {
        return text("/slurm/" + name);
    }

    static String pbs(String name) {
        return text("/pbs/" + name);
    }

    private static String text(String name) {
        try (InputStream in = Objects.requireNonNull(Fixture.class.getResourceAsStream(name), name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
