package io.caesura.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.caesura.error.CaesuraException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ByteSizeTest {

    @ParameterizedTest
    @CsvSource({
        "0, 0",
        "4096, 4096",
        "9007199254740993, 9007199254740993",
        "64K, 65536",
        "64KiB, 65536",
        "64kb, 64000",
        "1.5G, 1610612736",
        "2 MiB, 2097152",
        "3T, 3298534883328",
        "12B, 12"
    })
    void readsSizes(String text, long bytes) throws CaesuraException {
        assertThat(ByteSize.parse(text)).isEqualTo(bytes);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "-1", "K", "1Q", "1 2", "9999999P", "0x10", "1e3"})
    void refusesWhatIsNoSize(String text) {
        assertThatThrownBy(() -> ByteSize.parse(text))
                .isInstanceOf(CaesuraException.class)
                .hasMessageContaining("'" + text + "'");
    }

    @Test
    void formatsForPeople() {
        assertThat(ByteSize.format(1023)).isEqualTo("1023 B");
        assertThat(ByteSize.format(1536)).isEqualTo("1.5 KiB");
        assertThat(ByteSize.format(64L << 20)).isEqualTo("64 MiB");
        assertThat(ByteSize.format(5L << 40)).isEqualTo("5.0 TiB");
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "1, 1", "1000, 1000", "1024, 1KiB", "1536, 1536", "67108864, 64MiB", "3298534883328, 3TiB"})
    void formatsWithoutLoss(long bytes, String text) throws CaesuraException {
        assertThat(ByteSize.formatExact(bytes)).isEqualTo(text);
        assertThat(ByteSize.parse(text)).isEqualTo(bytes);
    }
}
