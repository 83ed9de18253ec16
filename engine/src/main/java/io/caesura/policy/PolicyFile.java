package io.caesura.policy;

import io.caesura.error.CaesuraException;

/** Reads the YAML of a policy. Every complaint names the file and the line. */
final class PolicyFile {

    private final String name;

    /** @param name of the file, for messages */
    PolicyFile(String name) {
        this.name = name;
    }

    /**
     * Sets in the draft what the text says. An empty text changes nothing.
     *
     * @throws CaesuraException EPOLICY
     */
    void apply(PolicyDraft draft, String yaml) throws CaesuraException {
        for (FlatYaml.Entry entry : FlatYaml.read(name, yaml)) {
            set(draft, entry.key(), entry);
        }
    }

    /** Sets one entry under the name of a key, which may be a part of the entry's own. */
    void set(PolicyDraft draft, String key, FlatYaml.Entry entry) throws CaesuraException {
        int line = entry.line();
        PolicyKey known = PolicyKey.of(key)
                .orElseThrow(() -> FlatYaml.at(
                        name, line, "unknown key '" + entry.key() + "'", "the keys are " + PolicyKey.all()));
        if (entry.isList() && known != PolicyKey.TRACK) {
            throw FlatYaml.at(
                    name, line, entry.key() + ": one value is needed, not a list", "write one value after the colon");
        }
        try {
            draft.set(known, entry.values(), name + ":" + line);
        } catch (CaesuraException e) {
            throw FlatYaml.at(name, line, entry.key() + ": " + e.getMessage(), e.remedy());
        }
    }
}
