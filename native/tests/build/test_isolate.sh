#!/usr/bin/env bash
# The wrapper that every other test relies on: statuses, the time limit, and that nothing is left behind.
set -euo pipefail

isolate=$CAESURA_TOP/build/tests/support/isolate
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$*" >&2
    exit 1
}

status_of() {
    local status=0
    "$@" > "$work/out" 2>&1 || status=$?
    echo "$status"
}

[ "$(status_of "$isolate" true)" = 0 ] || fail "status 0 not passed on"
[ "$(status_of "$isolate" sh -c 'exit 77')" = 77 ] || fail "status 77 not passed on"
[ "$(status_of "$isolate" sh -c 'kill -9 $$')" = 137 ] || fail "death by a signal not passed on"
[ "$(status_of "$isolate" /nonexistent/program)" = 125 ] || fail "a missing program not told"

# shellcheck disable=SC2016 # for the inner shell
ignoring='trap "" INT QUIT HUP USR1; exec "$0" grep -h "Sig[BI]" /proc/self/status'
[ "$(status_of sh -c "$ignoring" "$isolate")" = 0 ] || fail "no signal state: $(cat "$work/out")"
[ "$(grep -c '0000000000000000$' "$work/out")" = 2 ] || fail "a test would inherit the caller's signals: $(cat "$work/out")"

# A process that left the session and lost its parent is the hardest to get hold of. It would lock the file for long.
# shellcheck disable=SC2016 # for the inner shell
leave_locker='setsid setsid flock "$0" sleep 300 > /dev/null 2>&1 & while flock -n "$0" true; do sleep 0.01; done'
[ "$(status_of "$isolate" sh -c "$leave_locker" "$work/lock")" = 0 ] || fail "the locker did not start: $(cat "$work/out")"
flock -n "$work/lock" true || fail "a process outlived isolate"

[ "$(status_of "$isolate" -t 1 sh -c "$leave_locker; exec sleep 300" "$work/lock")" = 124 ] || fail "no time limit"
flock -n "$work/lock" true || fail "a process outlived the time limit"
