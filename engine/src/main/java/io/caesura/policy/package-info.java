/** When and how a job is checkpointed: YAML files and the SPEC of the command line. */
@NullMarked
package io.caesura.policy;

import org.jspecify.annotations.NullMarked;
