#!/usr/bin/env bash
# Every command has a manual page without errors and a completion, and those written by hand know every option.
set -euo pipefail

cd "$CAESURA_TOP"
tree=${CAESURA_PREFIX:-build/prefix}

fail() {
    echo "$*" >&2
    exit 1
}

for program in "$tree"/bin/*; do
    command=${program##*/}
    page=$tree/share/man/man1/$command.1
    completion=$tree/share/bash-completion/completions/$command
    [ -s "$page" ] || fail "$command has no manual page"
    [ -s "$completion" ] || fail "$command has no completion"
    if command -v groff > /dev/null; then
        said=$(groff -man -Tutf8 -ww -z "$page" 2>&1)
        [ -z "$said" ] || fail "$page: $said"
    fi
    # shellcheck source=/dev/null
    (set +u; . "$completion"; complete -p "$command") > /dev/null || fail "the completion of $command does not register it"
done

options=$("$tree/bin/cr_run" --help | grep -oE '^  .*  ' | grep -oE -- '--[a-z][-a-z]*' | sort -u)
[ "$(wc -l <<< "$options")" -ge 8 ] || fail "cr_run --help shows: $options"
for option in $options; do
    grep -qF -- "${option//-/\\-}" "$tree/share/man/man1/cr_run.1" || fail "cr_run.1 lacks $option"
    grep -qF -- "$option " "$tree/share/bash-completion/completions/cr_run" || fail "the completion of cr_run lacks $option"
done

# What the completion answers, word by word.
answers() {
    COMP_WORDS=("$@")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _cr_run
    printf '%s\n' "${COMPREPLY[@]}"
}
# shellcheck source=/dev/null
. "$tree/share/bash-completion/completions/cr_run"
[ "$(answers cr_run --pri)" = --private-shm ] || fail "cr_run --pri is completed to $(answers cr_run --pri)"
[ -z "$(answers cr_run --checkpoint 3)" ] || fail "a SPEC is completed"
answers cr_run --checkpoint 30m -- ca | grep -qx cat || fail "the command is not completed"
answers cr_run --name x ca | grep -qx cat || fail "the command is not completed after a name"
