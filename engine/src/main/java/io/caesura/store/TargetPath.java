package io.caesura.store;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;

/**
 * A path cut into the folder that has to be open for the rename, and the name in it.
 *
 * @param folder "." for a bare name
 */
record TargetPath(String folder, String name) {

    static TargetPath of(String path) throws CaesuraException {
        String trimmed = path.replaceAll("/+$", "");
        int slash = trimmed.lastIndexOf('/');
        String name = trimmed.substring(slash + 1);
        if (name.isEmpty() || name.equals(".") || name.equals("..")) {
            throw new CaesuraException(ErrorCode.EISDIR, "'" + path + "' does not name a new file or folder");
        }
        String folder = slash < 0 ? "." : slash == 0 ? "/" : trimmed.substring(0, slash);
        return new TargetPath(folder, name);
    }

    String temporaryName() {
        return "." + name + ".tmp";
    }

    /** The path of a sibling. */
    String beside(String sibling) {
        return folder.equals(".") ? sibling : folder.endsWith("/") ? folder + sibling : folder + "/" + sibling;
    }
}
