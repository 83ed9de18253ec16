package io.caesura.flow;

import io.caesura.scheduler.ListedJob;
import java.util.Optional;

/**
 * A job from both sides: what its scheduler says, and what its folder in the store says.
 *
 * @param stored empty: it has no folder, or the folder cannot be looked at
 * @param hidden why its folder cannot be looked at; empty: it can
 */
public record JobView(ListedJob job, Optional<StoredJob> stored, Optional<String> hidden) {}
