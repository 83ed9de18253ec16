/* policy.h - asking the engine about a SPEC at submission. */
#ifndef CAESURA_SLURM_POLICY_H
#define CAESURA_SLURM_POLICY_H

#include <stdbool.h>

#include "program.h"

/** What the node has to know of a policy before the engine runs. */
struct policy_brief {
    bool resident;      /**< it has a timer, so the engine stays */
    unsigned warning_s; /**< seconds before the time limit at which it acts; 0: never */
};

enum policy_verdict {
    POLICY_ACCEPTED,
    POLICY_REFUSED, /**< the lines for the user are in result.err */
    POLICY_UNKNOWN, /**< nobody here could tell; err says why. The node will decide, *brief is what is safe for any policy */
};

/** Asks PREFIX/bin/cr_job about spec; takes 10 seconds at most. */
enum policy_verdict policy_ask(const char *prefix, const char *spec, struct policy_brief *brief,
                               struct program_result *result, struct caesura_error *err);

/** Reads `resident=0|1 warning=SECONDS`, in any order and with words that a later release may add. False if one lacks. */
bool policy_parse(const char *line, struct policy_brief *brief);

#endif
