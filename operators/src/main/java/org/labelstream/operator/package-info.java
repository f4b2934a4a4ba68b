/**
 * Flink's side of it: the async function that owns a model, the router behind it, the serializers
 * of what flows.
 */
package org.labelstream.operator;
