#!/bin/sh
# Install into a prefix of its own, and build hosts against nothing but that: ours, and every
# example of the documentation, copied out of the tree. By pkg-config with either library, and by
# CMake from a prefix that was moved. Each part is reported as cmocka would.
#
# usage: install_test.sh <source root> <meson> <C compiler...>
set -eu

source=$1 meson=$2
shift 2
cc=$* # It may be several words: ccache gcc.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strict="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror"

ok() { echo "[       OK ] $*"; }
skipped() { echo "[  SKIPPED ] $*"; }
fail() { echo "[  FAILED  ] $*"; exit 1; }

# quietly COMMAND...: its output only when it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
}

for tool in pkg-config timeout ninja; do
    command -v "$tool" >/dev/null || { echo "skipped: there is no $tool"; exit 77; }
done
docs=false
if command -v doxygen >/dev/null; then
    docs=true
fi

# A sanitizer's flags must not reach this build: its hosts are linked without. What is installed need
# not be fast.
unset CFLAGS CXXFLAGS LDFLAGS
quietly $meson setup "$work/build" "$source" --prefix="$work/prefix" -Db_pch=true \
    -Doptimization=1 -Ddebug=false -Dtests=false -Dexamples=false -Dbench=false -Ddocs=$docs || fail "configuring"
quietly $meson compile -C "$work/build" || fail "building"
quietly $meson install -C "$work/build" --no-rebuild || fail "installing"

libraries=$(dirname "$(find "$work/prefix" -name libferry.so)")
libraries=${libraries#"$work/prefix/"}

mkdir "$work/outside"
cp "$source/tests/abi/installed_host.c" "$source"/docs/examples/*.[ch] "$work/outside"
cd "$work/outside"

# build_hosts FLAG...
build_hosts() {
    for host in $(grep -l '^int main(' ./*.c); do
        # With it, what it includes of the same folder.
        parts=$(sed -n 's/^#include "\(.*\)\.h"$/\1.c/p' "$host")
        # shellcheck disable=SC2086
        quietly $cc $strict "$host" $parts -o "${host%.c}" "$@" -pthread || fail "building $host"
    done
}

run_hosts() {
    timeout 60 ./installed_host >/dev/null || fail "running installed_host"
    timeout 60 ./echo_queue --selftest >/dev/null || fail "running echo_queue"
}

uses_shared() {
    readelf -d "$1" | grep -q 'NEEDED.*libferry\.so'
}

# ---- the shared library --------------------------------------------------------------------------

export PKG_CONFIG_PATH="$work/prefix/$libraries/pkgconfig"
version=$(pkg-config --modversion ferry)
# shellcheck disable=SC2046
build_hosts $(pkg-config --cflags --libs ferry)
uses_shared installed_host || fail "installed_host does not use the shared library"
(export LD_LIBRARY_PATH="$work/prefix/$libraries" && run_hosts)
ok "hosts by pkg-config, shared"

# ---- the static library, where there is no shared one --------------------------------------------

cp -R "$work/prefix" "$work/static"
rm "$work/static/$libraries"/libferry.so*
export PKG_CONFIG_PATH="$work/static/$libraries/pkgconfig"
# shellcheck disable=SC2046
build_hosts $(pkg-config --static --define-variable=prefix="$work/static" --cflags --libs ferry)
! uses_shared installed_host || fail "installed_host uses a shared library"
run_hosts
ok "hosts by pkg-config, static"
unset PKG_CONFIG_PATH

# ---- CMake, from another place than it was installed to ------------------------------------------

# cmake_host PREFIX VERSION LIBRARIES: a build in $work/cmake
cmake_host() {
    rm -rf "$work/cmake"
    CC=$cc quietly cmake -G Ninja -S "$work/host" -B "$work/cmake" \
        -DCMAKE_PREFIX_PATH="$1" -DWANTED="$2" -DLIBRARIES="$3"
}

if ! command -v cmake >/dev/null; then
    skipped "hosts by CMake: there is no cmake"
else
    mv "$work/prefix" "$work/moved"
    if grep -r "$work" "$work/moved/$libraries/cmake"; then
        fail "the CMake package names the place it was installed to"
    fi
    mkdir "$work/host"
    cp "$source/tests/abi/cmake_host/CMakeLists.txt" "$work/host"
    cp installed_host.c "$work/host/host.c"

    major=${version%%.*} rest=${version#*.}
    minor=${rest%%.*}

    cmake_host "$work/moved" "$major.$minor" 'ferry;static' || fail "configuring with CMake"
    quietly ninja -C "$work/cmake" || fail "building with CMake"
    uses_shared "$work/cmake/host_ferry" || fail "ferry::ferry is not the shared library"
    ! uses_shared "$work/cmake/host_static" || fail "ferry::static is a shared library"
    timeout 60 "$work/cmake/host_ferry" >/dev/null || fail "running host_ferry"
    timeout 60 "$work/cmake/host_static" >/dev/null || fail "running host_static"
    ok "hosts by CMake, shared and static, from a moved prefix"

    cmake_host "$work/static" "$version" ferry || fail "configuring with CMake, static only"
    quietly ninja -C "$work/cmake" || fail "building with CMake, static only"
    timeout 60 "$work/cmake/host_ferry" >/dev/null || fail "running host_ferry, static only"
    ok "ferry::ferry where only the static library is"

    for other in "$version.1" "$major.$((minor + 1))" "$((major + 1)).0"; do
        if cmake_host "$work/moved" "$other" ferry >/dev/null; then
            fail "CMake takes $version for $other"
        fi
    done
    ok "versions that are not this one"
    mv "$work/moved" "$work/prefix"
fi

# ---- the manual ----------------------------------------------------------------------------------

if [ $docs = false ]; then
    skipped "the manual: there is no doxygen"
else
    test -s "$work/prefix/share/man/man3/ferry_queue_submit.3" || fail "there is no man page"
    test -s "$work/prefix/share/doc/ferry/html/index.html" || fail "there is no HTML manual"
    ok "the manual"
fi
