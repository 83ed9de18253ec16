package io.caesura.fake;

import io.caesura.scheduler.ProgramRunner;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Plays back what programs printed, by the beginning of the command line, and notes what was called. */
public final class FakePrograms implements ProgramRunner {

    private final Map<String, Outcome> outcomes = new LinkedHashMap<>();
    private final List<String> calls = new ArrayList<>();

    /** The latest of several that fit counts. */
    public FakePrograms on(String beginning, Outcome outcome) {
        outcomes.remove(beginning);
        outcomes.put(beginning, outcome);
        return this;
    }

    public FakePrograms on(String beginning, String out) {
        return on(beginning, new Outcome(0, out, ""));
    }

    public List<String> calls() {
        return calls;
    }

    @Override
    public Outcome run(List<String> command) {
        String line = String.join(" ", command);
        calls.add(line);
        Outcome found = null;
        for (Map.Entry<String, Outcome> entry : outcomes.entrySet()) {
            if (line.startsWith(entry.getKey())) {
                found = entry.getValue();
            }
        }
        if (found == null) {
            throw new AssertionError("unexpected call: " + line);
        }
        return found;
    }
}
