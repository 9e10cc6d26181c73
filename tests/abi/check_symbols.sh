#!/bin/sh
# What the library exports, what the version script names, what the headers declare and what
# every_function.c lists must be the same.
#
# usage: check_symbols.sh <nm> <library> <version script> <include folder> <every_function>
set -eu

nm=$1 library=$2 map=$3 headers=$4 every_function=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The version itself, FERRY_0, is listed as an absolute symbol: not a function.
"$nm" -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    sort >"$work/exported"
grep -o 'ferry_[a-z0-9_]*;' "$map" | tr -d ';' | sort >"$work/named"
cat "$headers"/ferry/*.h | grep -A3 '^FERRY_API' | grep -o 'ferry_[a-z0-9_]*(' | tr -d '(' |
    sort >"$work/declared"
"$every_function" | sort >"$work/listed"

test -s "$work/exported" || { echo "$library exports nothing"; exit 1; }
status=0
for other in named declared listed; do
    if ! diff -u "$work/exported" "$work/$other"; then
        echo "what is exported (-) and what is $other (+) differ"
        status=1
    fi
done
exit $status
