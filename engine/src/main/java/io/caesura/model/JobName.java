package io.caesura.model;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.regex.Pattern;

/**
 * Name of a job, safe as the name of a folder: letters, digits and ._+- but no dot or dash in front, 128 characters at most.
 */
public record JobName(String value) {

    private static final Pattern FORM = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}");

    /** @throws CaesuraException EINVAL if text cannot be a job's name */
    public static JobName parse(String text) throws CaesuraException {
        if (!FORM.matcher(text).matches()) {
            throw new CaesuraException(
                    ErrorCode.EINVAL,
                    "not a name for a job: '" + text + "'",
                    "use letters, digits and . _ + -, starting with a letter or digit");
        }
        return new JobName(text);
    }

    @Override
    public String toString() {
        return value;
    }
}
