package io.caesura.model;

/** What an ID names; values of enum caesura_scope. */
public enum ScopeKind {
    /** One process, all its threads. */
    PID(0),
    /** A process group. */
    PGID(1),
    /** A session. */
    SID(2),
    /** A process and all its descendants. */
    TREE(3),
    /** A job, named by its init as the caller sees it, with a pid namespace or without: everything below that init. */
    JOB(4);

    private final int code;

    ScopeKind(int code) {
        this.code = code;
    }

    /** Its number in the native interface. */
    public int code() {
        return code;
    }
}
