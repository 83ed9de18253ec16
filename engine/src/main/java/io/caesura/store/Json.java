package io.caesura.store;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;

/** Records to JSON text and back. Unknown members are skipped, so that an older release reads what a newer one wrote. */
public final class Json {

    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .build();

    private Json() {}

    public static String write(Object value) {
        try {
            return MAPPER.writeValueAsString(value) + "\n";
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("cannot be written as JSON: " + value, e);
        }
    }

    /**
     * Reads a record.
     *
     * @param where the file, for the message
     * @throws CaesuraException ECORRUPT if text is not what type says
     */
    public static <T> T read(String text, Class<T> type, String where) throws CaesuraException {
        try {
            T value = MAPPER.readValue(text, type);
            if (value == null) {
                throw new CaesuraException(ErrorCode.ECORRUPT, where + " is empty");
            }
            return value;
        } catch (JsonProcessingException e) {
            throw new CaesuraException(ErrorCode.ECORRUPT, where + " is damaged: " + e.getOriginalMessage());
        }
    }
}
