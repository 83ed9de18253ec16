package io.caesura.flow;

import static io.caesura.fake.Codes.assertFails;
import static org.assertj.core.api.Assertions.assertThat;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RelocationTest {

    @Test
    void readsTwoPaths() throws CaesuraException {
        assertThat(Relocation.parse("/old//=/new/")).contains(new Relocation("/old", "/new"));
        assertThat(Relocation.parse("/=/new")).contains(new Relocation("/", "/new"));
    }

    @Test
    void readsAndWritesEscapes() throws CaesuraException {
        Relocation relocation = Relocation.parse("/a\\=b=/c\\\\d\\x").orElseThrow();
        assertThat(relocation).isEqualTo(new Relocation("/a=b", "/c\\d\\x"));
        assertThat(Relocation.parse(relocation.toArgument())).contains(relocation);
    }

    @Test
    void ignoresWhatChangesNothing() throws CaesuraException {
        assertThat(Relocation.parse("/same/=/same")).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "/a", "/a=/b=/c", "a=/b", "/a=b", "=/b", "/a=", "/a\\=/b"})
    void refusesEverythingElse(String argument) {
        assertFails(ErrorCode.EINVAL, () -> Relocation.parse(argument));
    }
}
