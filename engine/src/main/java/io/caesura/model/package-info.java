/** Facts as records: no I/O, no dependencies but errors. */
@NullMarked
package io.caesura.model;

import org.jspecify.annotations.NullMarked;
