package io.caesura.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.caesura.error.CaesuraException;
import java.time.Duration;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TimeSpanTest {

    @ParameterizedTest
    @CsvSource({
        "30, PT30M",
        "1:30, PT1M30S",
        "01:02:03, PT1H2M3S",
        "2-12, PT60H",
        "2-12:30, PT60H30M",
        "1-00:00:05, PT24H5S",
        "500ms, PT0.5S",
        "30s, PT30S",
        "90m, PT90M",
        "2h, PT2H",
        "7d, PT168H"
    })
    void readsWhatBatchUsersWrite(String text, Duration span) throws CaesuraException {
        assertThat(TimeSpan.parse(text)).isEqualTo(span);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "x", "1:2:3:4", "-5", "5 m", "1.5h", "5w", "1-2-3", "h"})
    void refusesOtherForms(String text) {
        assertThatThrownBy(() -> TimeSpan.parse(text)).isInstanceOf(CaesuraException.class);
    }

    @ParameterizedTest
    @CsvSource({"PT0.25S, 250ms", "PT90S, 90s", "PT2M, 2m", "PT2H, 2h", "PT48H, 2d", "PT61M, 61m"})
    void writesWhatItReads(Duration span, String text) throws CaesuraException {
        assertThat(TimeSpan.format(span)).isEqualTo(text);
        assertThat(TimeSpan.parse(text)).isEqualTo(span);
    }
}
