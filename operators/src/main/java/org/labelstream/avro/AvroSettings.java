package org.labelstream.avro;

import java.io.Serializable;

/**
 * What a pipeline is told of Avro.
 *
 * @param registry where its schemas are
 * @param subject the subject under which the schemas of labelled records are registered, or null
 *     where these are JSON
 */
public record AvroSettings(SchemaRegistry.Factory registry, String subject)
    implements Serializable {}
