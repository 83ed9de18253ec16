/** The batch system: what it knows of jobs, and what it is told to do with them. */
@NullMarked
package io.caesura.scheduler;

import org.jspecify.annotations.NullMarked;
