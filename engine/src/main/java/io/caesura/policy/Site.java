package io.caesura.policy;

import io.caesura.error.CaesuraException;
import io.caesura.error.ErrorCode;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What a site has to say on policies: where they begin, and what none may exceed. */
final class Site {

    private static final String DEFAULTS = "defaults.";
    private static final String LIMITS = "limits.";

    private final String name;
    private final List<FlatYaml.Entry> defaults = new ArrayList<>();
    private final List<Limit> limits = new ArrayList<>();

    private Site(String name) {
        this.name = name;
    }

    /** A site without a file. */
    static Site none() {
        return new Site("");
    }

    /**
     * Reads a site file.
     *
     * @param name of the file, for messages
     * @throws CaesuraException EPOLICY with file and line; also if what holds without any policy exceeds the limits
     */
    static Site parse(String name, String yaml, Owner owner) throws CaesuraException {
        Site site = new Site(name);
        for (FlatYaml.Entry entry : FlatYaml.read(name, yaml)) {
            if (entry.key().startsWith(DEFAULTS)) {
                site.defaults.add(entry);
            } else if (entry.key().startsWith(LIMITS)) {
                site.limits.add(limit(name, entry));
            } else {
                throw FlatYaml.at(
                        name,
                        entry.line(),
                        "unknown key '" + entry.key() + "'",
                        "the keys are defaults and limits, and what stands below them");
            }
        }
        site.requireGoodGround(owner);
        return site;
    }

    private static Limit limit(String name, FlatYaml.Entry entry) throws CaesuraException {
        Limit.Kind kind = Limit.Kind.of(entry.key().substring(LIMITS.length()))
                .orElseThrow(() -> FlatYaml.at(
                        name, entry.line(), "unknown key '" + entry.key() + "'", "the limits are " + Limit.Kind.all()));
        if (entry.isList() && kind != Limit.Kind.STORES) {
            throw FlatYaml.at(name, entry.line(), entry.key() + ": one value is needed, not a list", "write one value");
        }
        try {
            return kind.read(entry.values(), name + ":" + entry.line());
        } catch (CaesuraException e) {
            throw FlatYaml.at(name, entry.line(), entry.key() + ": " + e.getMessage(), e.remedy());
        }
    }

    /** The policy that everything else stands on: the built-in one and the site's defaults. */
    PolicyDraft ground() throws CaesuraException {
        PolicyDraft draft = new PolicyDraft(Policy.BUILT_IN);
        PolicyFile file = new PolicyFile(name);
        for (FlatYaml.Entry entry : defaults) {
            file.set(draft, entry.key().substring(DEFAULTS.length()), entry);
        }
        draft.description = "";
        return draft;
    }

    /** Or every policy that leaves a key alone would be refused, with nothing that its user could have done better. */
    private void requireGoodGround(Owner owner) throws CaesuraException {
        PolicyDraft ground = ground();
        Optional<Breached> breached = breached(ground.build(), owner);
        if (breached.isPresent()) {
            Limit limit = breached.get().limit();
            Limit.Breach breach = breached.get().breach();
            String origin = ground.origin(breach.key()).orElse("built in");
            throw new CaesuraException(
                    ErrorCode.EPOLICY,
                    "%s: the limit %s forbids what holds without a policy: %s %s (%s)"
                            .formatted(
                                    limit.where(),
                                    limit.kind().key(),
                                    breach.key().key(),
                                    breach.message(),
                                    origin),
                    "the administrator has to set " + breach.key().key() + " under defaults, within the limit");
        }
    }

    private record Breached(Limit limit, Limit.Breach breach) {}

    private Optional<Breached> breached(Policy policy, Owner owner) throws CaesuraException {
        for (Limit limit : limits) {
            Optional<Limit.Breach> breach = limit.check().breach(policy, owner);
            if (breach.isPresent()) {
                return Optional.of(new Breached(limit, breach.get()));
            }
        }
        return Optional.empty();
    }

    /**
     * Refuses a policy that exceeds a limit.
     *
     * @param prefix of the message: what was asked for
     * @param draft tells where the values come from
     * @throws CaesuraException EPOLICY
     */
    void requireWithin(String prefix, Policy policy, PolicyDraft draft, Owner owner) throws CaesuraException {
        Optional<Breached> breached = breached(policy, owner);
        if (breached.isPresent()) {
            Limit limit = breached.get().limit();
            Limit.Breach breach = breached.get().breach();
            String origin = draft.origin(breach.key())
                    .filter(from -> !prefix.startsWith(from))
                    .map(from -> " (set by " + from + ")")
                    .orElse("");
            throw new CaesuraException(
                    ErrorCode.EPOLICY,
                    prefix + breach.key().key() + " " + breach.message() + origin + ", the limit "
                            + limit.kind().key() + " of " + limit.where(),
                    breach.remedy());
        }
    }
}
