/** What becomes of a result: which other topics it goes to, and what is blotted out. */
package org.labelstream.result;
