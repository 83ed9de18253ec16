package io.caesura.flow;

import io.caesura.error.ErrorCode;

/** Which hook of a restart a failure belongs to, as BLCR divides them. */
public enum HookClass {
    /** Bad arguments, or the context is missing or unreadable. */
    FAIL_ARGS,
    /** Passing trouble. */
    FAIL_TEMP,
    /** Trouble that a person can mend. */
    FAIL_ENV,
    /** Everything else. */
    FAIL_PERM;

    /** The class of a failure that came after the arguments were found good. */
    public static HookClass of(ErrorCode code) {
        return switch (code) {
            case ENOMEM, EBUSY, EAGAIN -> FAIL_TEMP;
            case EACCES, EPERM, ENOENT, EEXIST, EISDIR, ENOTDIR -> FAIL_ENV;
            default -> FAIL_PERM;
        };
    }
}
