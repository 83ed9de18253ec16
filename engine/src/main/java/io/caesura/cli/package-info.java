/** The commands: they parse, call and print. */
@NullMarked
package io.caesura.cli;

import org.jspecify.annotations.NullMarked;
