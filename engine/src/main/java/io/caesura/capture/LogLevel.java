package io.caesura.capture;

/** Levels of the library's log lines, in the order of enum caesura_log_level. */
public enum LogLevel {
    DEBUG,
    INFO,
    WARNING,
    /** An obstacle because of which a checkpoint is refused. */
    REFUSAL
}
