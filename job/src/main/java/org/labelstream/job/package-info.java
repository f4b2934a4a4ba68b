/** What users start: the job over Kafka, and the labelling of lines without it. */
package org.labelstream.job;
