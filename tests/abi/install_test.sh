#!/bin/sh
# Install into a prefix of its own, and build hosts against nothing but that: ours, and every
# example of the documentation, copied out of the tree.
#
# usage: install_test.sh <source root> <C compiler> <meson>
set -eu

source=$1 cc=$2 meson=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for tool in pkg-config timeout ninja; do
    command -v "$tool" >/dev/null || { echo "skipped: there is no $tool"; exit 77; }
done

# A sanitizer's flags must not reach this build: its hosts are linked without.
unset CFLAGS CXXFLAGS LDFLAGS
$meson setup "$work/build" "$source" --prefix="$work/prefix" --buildtype=debugoptimized \
    -Dtests=false -Dexamples=false -Dbench=false -Ddocs=false >"$work/log" 2>&1 &&
    $meson compile -C "$work/build" >>"$work/log" 2>&1 &&
    $meson install -C "$work/build" --no-rebuild >>"$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }

PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name ferry.pc)")
LD_LIBRARY_PATH=$(dirname "$(find "$work/prefix" -name libferry.so)")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
flags=$(pkg-config --cflags --libs ferry)
strict="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror"

mkdir "$work/outside"
cp "$source/tests/abi/installed_host.c" "$work/outside"
for example in "$source"/docs/examples/*.c; do
    if [ -e "$example" ]; then
        cp "$example" "$work/outside"
    fi
done

cd "$work/outside"
for host in *.c; do
    echo "building $host"
    # shellcheck disable=SC2086
    $cc $strict "$host" -o "${host%.c}" $flags -pthread
done

echo "running installed_host"
timeout 60 ./installed_host

if [ -x echo_queue ]; then
    echo "running echo_queue"
    timeout 60 ./echo_queue --selftest
fi
