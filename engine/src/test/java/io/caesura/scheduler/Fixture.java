package io.caesura.scheduler;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Objects;

/** Output of Slurm 22.05, captured from a private cluster. */
final class Fixture {

    private Fixture() {}

    static String slurm(String name) {
        try (InputStream in = Objects.requireNonNull(Fixture.class.getResourceAsStream("/slurm/" + name), name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
