#!/usr/bin/env bash
# `make install` makes a tree that works where it is put, for a package (DESTDIR) too, whatever the umask.
set -euo pipefail

cd "$CAESURA_TOP"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077

fail() {
    echo "$*" >&2
    exit 1
}

native/tools/install-tree build/prefix "$work/stage/opt/caesura" || fail "install-tree failed"

# All but the archive of classes, which is made at the place where the tree stays.
diff <(cd build/prefix && find . ! -name engine.jsa | sort) <(cd "$work/stage/opt/caesura" && find . | sort) ||
    fail "the installed tree differs"
closed=$(find "$work/stage/opt/caesura" -mindepth 1 ! -perm -o=r)
[ -z "$closed" ] || fail "others cannot read: $closed"

for command in cr_checkpoint cr_restart cr_info cr_job; do
    "$work/stage/opt/caesura/bin/$command" --version > "$work/out" 2>&1 ||
        fail "$command does not work in a moved tree: $(cat "$work/out")"
    grep -q "^$command version " "$work/out" || fail "$command --version says: $(cat "$work/out")"
done

# Only what caesura.h declares is seen of the library.
others=$(nm -D --defined-only "$work/stage/opt/caesura/lib/libcapture.so" | awk '$3 !~ /^(caesura_|CAESURA_)/ { print $3 }')
[ -z "$others" ] || fail "libcapture.so lets be seen: $others"
declared=$(grep -oE '\bcaesura_[a-z_]+\(' native/include/caesura.h | tr -d '(' | sort -u)
for name in $declared; do
    nm -D --defined-only "$work/stage/opt/caesura/lib/libcapture.so" | grep -qw "$name@@CAESURA_1" ||
        fail "libcapture.so lacks $name"
done
