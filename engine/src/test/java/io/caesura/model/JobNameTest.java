package io.caesura.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.caesura.error.CaesuraException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JobNameTest {

    @Test
    void takesPlainNames() throws CaesuraException {
        assertThat(JobName.parse("node-17.lab_3+x").value()).isEqualTo("node-17.lab_3+x");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ".", "..", ".hidden", "-x", "a/b", "a b", "a\nb", "../x", "ä"})
    void refusesWhatIsNotSafeAsAFolder(String name) {
        assertThatThrownBy(() -> JobName.parse(name)).isInstanceOf(CaesuraException.class);
    }

    @Test
    void refusesLongNames() {
        assertThatThrownBy(() -> JobName.parse("a".repeat(129))).isInstanceOf(CaesuraException.class);
    }
}
