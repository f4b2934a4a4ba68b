/** The job file, read and checked. */
package org.labelstream.job.jobfile;
