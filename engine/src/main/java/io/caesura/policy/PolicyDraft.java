package io.caesura.policy;

import io.caesura.error.CaesuraException;
import java.time.Duration;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A policy that is being put together, and where each of its values comes from. */
final class PolicyDraft {

    String description = "";
    Optional<Duration> interval;
    int keep;
    long copyLimitBytes;
    List<String> track;
    Optional<String> storeFolder;
    OnExit onExit;
    boolean sync;
    Optional<Duration> deadline;
    boolean checkpointOnPreemption;
    boolean checkpointOnRequeue;
    Optional<Duration> limitWarning;
    AfterLimit afterLimit;
    Optional<Integer> signal;
    AfterSignal afterSignal;
    boolean checkpointOnCancel;
    boolean keepOnCancel;
    boolean requeueNow;
    OnRestartFailure onRestartFailure;

    private final Map<PolicyKey, String> origins = new EnumMap<>(PolicyKey.class);

    PolicyDraft(Policy base) {
        interval = base.interval();
        keep = base.keep();
        copyLimitBytes = base.copyLimitBytes();
        track = base.track();
        storeFolder = base.storeFolder();
        onExit = base.onExit();
        sync = base.sync();
        deadline = base.deadline();
        checkpointOnPreemption = base.checkpointOnPreemption();
        checkpointOnRequeue = base.checkpointOnRequeue();
        limitWarning = base.limitWarning();
        afterLimit = base.afterLimit();
        signal = base.signal();
        afterSignal = base.afterSignal();
        checkpointOnCancel = base.checkpointOnCancel();
        keepOnCancel = base.keepOnCancel();
        requeueNow = base.requeueNow();
        onRestartFailure = base.onRestartFailure();
    }

    /**
     * Sets a key.
     *
     * @param origin file and line, or the SPEC, for people
     * @throws CaesuraException EPOLICY or EINVAL if the value is not one for this key
     */
    void set(PolicyKey key, List<String> values, String origin) throws CaesuraException {
        key.set(this, values);
        origins.put(key, origin);
    }

    /** Where the value of a key was set; empty: it is the built-in one. */
    Optional<String> origin(PolicyKey key) {
        return Optional.ofNullable(origins.get(key));
    }

    Policy build() {
        return new Policy(
                interval,
                keep,
                copyLimitBytes,
                track,
                storeFolder,
                onExit,
                sync,
                deadline,
                checkpointOnPreemption,
                checkpointOnRequeue,
                limitWarning,
                afterLimit,
                signal,
                afterSignal,
                checkpointOnCancel,
                keepOnCancel,
                requeueNow,
                onRestartFailure);
    }
}
