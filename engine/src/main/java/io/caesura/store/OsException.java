package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;

/** A system call failed. The code is the row of its errno, EIO where the table has none; {@link #errno()} is exact. */
public final class OsException extends CaesuraException {

    private final int errno;

    /**
     * @param what what was tried and with which object, such as "cannot open /x"
     * @param reason the system's text for errno
     */
    public OsException(int errno, String what, String reason) {
        super(codeOf(errno), what + ": " + reason);
        this.errno = errno;
    }

    public int errno() {
        return errno;
    }

    private static ErrorCode codeOf(int errno) {
        // Codes from 50 to 61 are BLCR's own, not Linux's of the same number.
        return errno >= 50 && errno <= 61 ? ErrorCode.EIO : ErrorCode.of(errno).orElse(ErrorCode.EIO);
    }
}
