/* codec.h - records of the model to bytes and back, and to JSON. */
#ifndef CAESURA_CONTEXT_CODEC_H
#define CAESURA_CONTEXT_CODEC_H

#include "core/buffer.h"
#include "model/model.h"

/*
 * For each record R of the model:
 *   record_encode_R   appends length (u32) and fields;
 *   record_decode_R   fills *record, which the caller frees with record_free_R also after a failure (reader->failed);
 *   record_describe_R appends a JSON object;
 *   record_free_R     frees what the record holds, not the record.
 */
#define RECORD_FUNCTIONS(record, FIELDS)                                              \
    void record_encode_##record(struct buffer *buffer, const struct record *value);   \
    void record_decode_##record(struct reader *reader, struct record *value);         \
    void record_describe_##record(struct buffer *buffer, const struct record *value); \
    void record_free_##record(struct record *value);
RECORDS(RECORD_FUNCTIONS)
#undef RECORD_FUNCTIONS

/** Appends text as a JSON string with its quotes; bytes that are no UTF-8 appear as \u00XX. */
void json_string(struct buffer *buffer, const char *text);

#endif
