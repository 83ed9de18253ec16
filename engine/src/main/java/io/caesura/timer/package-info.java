/** Ticks of a job's policy. Nothing else imports Quartz. */
@NullMarked
package io.caesura.timer;

import org.jspecify.annotations.NullMarked;
