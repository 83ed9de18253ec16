package io.caesura.model;

import java.util.Locale;

/**
 * Which processes a checkpoint takes.
 *
 * @param id pid, process group or session as the caller sees it
 */
public record Scope(ScopeKind kind, int id) {

    @Override
    public String toString() {
        return kind.name().toLowerCase(Locale.ROOT) + " " + id;
    }
}
