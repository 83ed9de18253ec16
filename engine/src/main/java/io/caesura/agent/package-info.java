/** The engine's side of a local job: it answers the supervisor and checkpoints on a timer. */
@NullMarked
package io.caesura.agent;

import org.jspecify.annotations.NullMarked;
