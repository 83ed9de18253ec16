package io.caesura.model;

/** Flags of a request; bits of enum caesura_capture_flags. */
public enum CaptureFlag {
    SAVE_EXE(0x1),
    SAVE_PRIVATE(0x2),
    SAVE_SHARED(0x4),
    PTRACED_SKIP(0x10),
    PTRACED_ALLOW(0x20),
    PTRACER_SKIP(0x40),
    CHECK_ONLY(0x80),
    REQUIRE_LIBCR(0x100),
    PROHIBIT_SELF(0x200);

    private final int bit;

    CaptureFlag(int bit) {
        this.bit = bit;
    }

    public int bit() {
        return bit;
    }
}
