package io.caesura.model;

import java.time.Duration;

/**
 * What was captured and what it cost.
 *
 * @param pageBytes memory written
 * @param fileBytes contents of files written
 * @param totalBytes all bytes written
 * @param freeze until every task stood still
 * @param collect until all but memory and file contents was known
 * @param pause from the first freeze to the release; zero before it
 * @param setId random id of the context, 32 hexadecimal digits
 */
public record CaptureResult(
        int processes,
        int threads,
        int warnings,
        long pageBytes,
        long fileBytes,
        long totalBytes,
        Duration freeze,
        Duration collect,
        Duration pause,
        String setId) {}
