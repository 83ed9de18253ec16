package io.caesura.fake;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.InstanceOfAssertFactories.type;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import org.assertj.core.api.AbstractObjectAssert;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;

/** Asserts that a call fails with a row of the error table. */
public final class Codes {

    private Codes() {}

    public static void assertFails(ErrorCode code, ThrowingCallable call) {
        failure(call).extracting(CaesuraException::code).isEqualTo(code);
    }

    public static void assertFails(ErrorCode code, String messagePart, ThrowingCallable call) {
        failure(call).satisfies(e -> {
            assertThat(e.code()).isEqualTo(code);
            assertThat(e).hasMessageContaining(messagePart);
        });
    }

    private static AbstractObjectAssert<?, CaesuraException> failure(ThrowingCallable call) {
        return assertThatThrownBy(call).asInstanceOf(type(CaesuraException.class));
    }
}
