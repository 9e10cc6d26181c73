#!/bin/sh
# Every source that uses ferry.hpp compiles without a warning, by a compiler that the build may not have.
#
# usage: strict_test.sh COMPILER BINDING_FOLDER HEADER_FOLDER
set -eu
compiler=$1 binding=$2 headers=$3

command -v "$compiler" >/dev/null || { echo "skipped: there is no $compiler"; exit 77; }
case $compiler in
    g++*) coroutines=-fcoroutines ;;
    *) coroutines='' ;;
esac
check() {
    source=$1
    shift
    # shellcheck disable=SC2086
    "$compiler" -std=c++20 $coroutines -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Werror "$@" \
        -I"$binding" -I"$headers" "$binding/$source"
    echo "[       OK ] $compiler $*: $source"
}
check tests/conformance.cpp -fno-exceptions -fno-rtti
check tests/unit_test.cpp
check examples/echo_server.cpp
check examples/file_sizes.cpp
