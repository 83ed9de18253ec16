/** The one error table and the exception that carries a row of it. */
@NullMarked
package io.caesura.error;

import org.jspecify.annotations.NullMarked;
