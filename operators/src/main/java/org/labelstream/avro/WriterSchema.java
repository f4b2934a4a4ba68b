package org.labelstream.avro;

import org.apache.avro.Schema;

/** The schema that a value was written by. */
public record WriterSchema(Schema schema) {}
