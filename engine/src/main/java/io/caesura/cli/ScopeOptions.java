package io.caesura.cli;

import io.caesura.model.ScopeKind;
import picocli.CommandLine.Option;

/** What ID names. The last option wins. */
@Section("What is checkpointed (the last one given counts)")
final class ScopeOptions {

    private ScopeKind kind = ScopeKind.TREE;

    @Option(
            order = 1,
            names = {"-T", "--tree"},
            description = "ID is a process: it and all its descendants (default).")
    void tree(boolean given) {
        kind = ScopeKind.TREE;
    }

    @Option(
            order = 2,
            names = {"-p", "--pid", "--process"},
            description = "ID is a process: it alone, with all its threads.")
    void pid(boolean given) {
        kind = ScopeKind.PID;
    }

    @Option(
            order = 3,
            names = {"-g", "--pgid", "--group"},
            description = "ID is a process group.")
    void pgid(boolean given) {
        kind = ScopeKind.PGID;
    }

    @Option(
            order = 4,
            names = {"-s", "--sid", "--session"},
            description = "ID is a session.")
    void sid(boolean given) {
        kind = ScopeKind.SID;
    }

    ScopeKind kind() {
        return kind;
    }
}
