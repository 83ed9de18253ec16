package io.caesura.capture;

import io.caesura.error.CaesuraException;
import io.caesura.model.CaptureRequest;

/** Freezes scopes and reads contexts. Different captures may run on different threads. */
public interface CaptureEngine {

    /**
     * Freezes the scope and collects everything but memory and file contents. On failure nothing is frozen any more.
     *
     * @throws CaesuraException ESRCH, EPERM, EPTRACED, EPTRACER, EUNSUPPORTED (every obstacle goes to log), EAGAIN,
     *     ETIMEDOUT or ENOMEM
     */
    Capture open(CaptureRequest request, LogSink log) throws CaesuraException;

    /**
     * Reads all of a context and checks every checksum.
     *
     * @param descriptors the single file, or one per process
     * @throws CaesuraException ETRUNCATED, ECORRUPT, EFORMAT, EBADARCH or EIO
     */
    void verify(int[] descriptors) throws CaesuraException;

    /** Describes a context as one JSON object. Memory is not read and its checksums are not checked. */
    String describe(int[] descriptors) throws CaesuraException;
}
