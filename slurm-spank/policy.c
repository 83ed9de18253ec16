#include "policy.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"

#define DEADLINE_MS 10000
#define WARNING_MAX_S (366u * 24 * 3600)

bool policy_parse(const char *line, struct policy_brief *brief)
{
    bool resident = false, warning = false;

    while (*line && *line != '\n') {
        size_t length = strcspn(line, " \n");
        if (length == 10 && strncmp(line, "resident=", 9) == 0 && (line[9] == '0' || line[9] == '1')) {
            brief->resident = line[9] == '1';
            resident = true;
        } else if (length > 8 && strncmp(line, "warning=", 8) == 0 && strspn(line + 8, "0123456789") == length - 8) {
            unsigned long value = strtoul(line + 8, NULL, 10);
            if (value > WARNING_MAX_S)
                return false;
            brief->warning_s = (unsigned)value;
            warning = true;
        }
        line += length;
        line += strspn(line, " ");
    }
    return resident && warning;
}

enum policy_verdict policy_ask(const char *prefix, const char *spec, struct policy_brief *brief,
                               struct program_result *result, struct caesura_error *err)
{
    char program[PATH_MAX + 16];
    char *argv[] = {program, "policy", "--brief", (char *)spec, NULL};

    /* An engine that has nothing to do costs memory; one that is missing costs the job its checkpoints. */
    *brief = (struct policy_brief){.resident = true};
    snprintf(program, sizeof program, "%s/bin/cr_job", prefix);
    if (program_run(argv, environ, DEADLINE_MS, result, err) < 0)
        return POLICY_UNKNOWN;
    if (WIFSIGNALED(result->status)) {
        error_set(err, CAESURA_EENGINE, "%s ended by signal %d", program, WTERMSIG(result->status));
        return POLICY_UNKNOWN;
    }
    struct policy_brief told;
    switch (WEXITSTATUS(result->status)) {
    case 0:
        if (policy_parse(result->out, &told)) {
            *brief = told;
            return POLICY_ACCEPTED;
        }
        error_set(err, CAESURA_EENGINE, "%s gave no answer that this plugin understands", program);
        return POLICY_UNKNOWN;
    case CAESURA_EPOLICY:
    case CAESURA_EINVAL_:
    case CAESURA_EUSAGE:
        return POLICY_REFUSED;
    default: /* no Java, no memory for it, a damaged installation: not the user's fault */
        error_set(err, CAESURA_EENGINE, "%s ended with status %d: %.200s", program, WEXITSTATUS(result->status),
                  result->err);
        return POLICY_UNKNOWN;
    }
}
