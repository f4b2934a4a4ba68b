/** Flink SQL: the provider of {@code CREATE MODEL} that runs the model in the process. */
package org.labelstream.job.sql;
