/** Which waiting work runs together, and when. Knows things that have a length, no models. */
package org.labelstream.batch;
