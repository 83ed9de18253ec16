/** Checkpoint and restart as steps that read top to bottom. */
@NullMarked
package io.caesura.flow;

import org.jspecify.annotations.NullMarked;
