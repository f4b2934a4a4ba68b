/** Explanations as a page to read: one HTML file that needs nothing else. */
package org.labelstream.job.report;
