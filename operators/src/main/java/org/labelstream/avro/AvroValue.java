package org.labelstream.avro;

/**
 * A value that has been read.
 *
 * @param bytes JSON of a record or map, or the text of a string, in UTF-8
 * @param isText whether it is a text
 * @param writer the schema that it was written by
 */
public record AvroValue(byte[] bytes, boolean isText, WriterSchema writer) {}
