/** Lines of files, or of standard input, in place of Kafka. */
package org.labelstream.job.file;
