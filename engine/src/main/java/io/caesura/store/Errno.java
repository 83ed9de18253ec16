package io.caesura.store;

/** Numbers of errno that decide what is done next. */
public final class Errno {
    public static final int ENOENT = 2;
    public static final int EEXIST = 17;
    public static final int EINVAL = 22;
    public static final int EACCES = 13;
    public static final int EPERM = 1;
    public static final int ENOSYS = 38;
    public static final int ENOTEMPTY = 39;
    public static final int EOPNOTSUPP = 95;
    public static final int ENOLCK = 37;
    public static final int EROFS = 30;
    public static final int ECONNRESET = 104;

    private Errno() {}
}
