#!/bin/bash
# Two pipelines of three programs each as background jobs, waited for. Usage: pipeline.sh SCALE
set -euo pipefail

numbers() {
    local value=$1 count=$2
    while ((count-- > 0)); do
        value=$(((value * 1103515245 + 12345) % 2147483648))
        echo "$value"
    done
}

numbers 1 $((30000 * $1)) | tr 0-9 a-j |
    awk '{ sum = (sum * 31 + length($1) * NR) % 1000003 } NR % 500 == 0 { print NR, $1, sum; fflush() }' > left.out &
left=$!
numbers 2 $((30000 * $1)) | sed 's/7/seven/g' | sha256sum > right.out &
right=$!
wait "$left"
echo "left: $?"
wait "$right"
echo "right: $?"
tail -n 1 left.out right.out
