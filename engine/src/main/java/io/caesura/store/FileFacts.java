package io.caesura.store;

/**
 * What stat tells of a file.
 *
 * @param mode type and permission bits
 * @param links names that the file has
 */
public record FileFacts(int mode, int uid, long sizeBytes, long device, long inode, int links) {

    private static final int TYPE = 0170000;

    public boolean isRegular() {
        return (mode & TYPE) == 0100000;
    }

    public boolean isFolder() {
        return (mode & TYPE) == 0040000;
    }

    public boolean isFifo() {
        return (mode & TYPE) == 0010000;
    }

    public boolean isSocket() {
        return (mode & TYPE) == 0140000;
    }

    /** Whether group or others may write, and no sticky bit keeps them from what is not theirs. */
    public boolean isOpenToOthers() {
        return (mode & 022) != 0 && !(isFolder() && (mode & 01000) != 0);
    }

    public boolean isSameAs(FileFacts other) {
        return device == other.device && inode == other.inode;
    }
}
