/** What a model folder holds, checked when it is read. Local paths only. */
package org.labelstream.model;
