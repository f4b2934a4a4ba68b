/** Kafka on both sides of a pipeline. */
package org.labelstream.job.kafka;
