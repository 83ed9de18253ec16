package io.caesura.cli;

/** The command line makes no sense; the message says why. */
final class UsageException extends Exception {
    UsageException(String message) {
        super(message);
    }
}
