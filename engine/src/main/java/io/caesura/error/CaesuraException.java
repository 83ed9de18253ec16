package io.caesura.error;

/**
 * A failure that a person has to read: which code, what failed with which object, and what to do about it.
 *
 * <p>Checked, because every place where a checkpoint can fail has something to put back.
 */
public class CaesuraException extends Exception {

    private final ErrorCode code;
    private final String message;
    private final String remedy;
    private final int status;

    /**
     * @param message what failed and which object; no full stop, no newline
     * @param remedy what to do
     */
    public CaesuraException(ErrorCode code, String message, String remedy) {
        this(code, message, remedy, code.code());
    }

    /** With an exit status that is in no row of the error table. */
    public CaesuraException(ErrorCode code, String message, String remedy, int status) {
        super(message);
        this.code = code;
        this.message = message;
        this.remedy = remedy;
        this.status = status & 0xff;
    }

    /** With the remedy that the error table has for the code. */
    public CaesuraException(ErrorCode code, String message) {
        this(code, message, code.remedy());
    }

    /** What failed, and with which object. */
    @Override
    public String getMessage() {
        return message;
    }

    /** Row of the error table. */
    public ErrorCode code() {
        return code;
    }

    /** What a command exits with. */
    public int status() {
        return status;
    }

    /** What to do, one line. */
    public String remedy() {
        return remedy;
    }

    /** The same failure with more context in front of the message. */
    public CaesuraException in(String context) {
        CaesuraException wrapped = new CaesuraException(code, context + ": " + getMessage(), remedy, status);
        wrapped.initCause(this);
        return wrapped;
    }
}
