package org.labelstream.record;

/**
 * Why a record got no label.
 *
 * @param code what is wrong
 * @param stage where it was found
 * @param message one sentence that says what is wrong and how to put it right
 */
public record DeadLetter(ErrorCode code, Stage stage, String message) {}
