package io.caesura.store;

/** What happens to a target that exists. */
public enum ReplacePolicy {
    /** Written beside it and renamed over it. */
    ATOMIC,
    /** As ATOMIC, but the old target is renamed to a backup first. */
    BACKUP,
    /** Written straight into it. */
    CLOBBER,
    /** It is an error. */
    NOCLOBBER
}
