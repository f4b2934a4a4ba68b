package org.labelstream.result;

import java.io.Serializable;

/**
 * A topic that some results go to.
 *
 * @param when an expression over the result's fields that says which, or null where all do
 * @param sample the share of these that do, above 0 and at most 1
 * @param topic the topic
 * @param move whether they go there in place of the output topic, and not beside it
 */
public record RouteSettings(String when, double sample, String topic, boolean move)
    implements Serializable {}
