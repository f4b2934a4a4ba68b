/**
 * What flows through the job: immutable values without behaviour. Imports nothing of this project.
 */
package org.labelstream.record;
