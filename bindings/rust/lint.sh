#!/bin/sh
# clippy and rustfmt, as far as they are installed.
#
#     lint.sh CARGO PYTHON CARGO_PY SOURCE FOLDER
cargo=$1 python=$2 run=$3 source=$4 folder=$5
done=0
if "$cargo" clippy --version >/dev/null 2>&1; then
    "$python" "$run" "$source" "$folder" --use-tokio ferry/tokio -- \
        "$cargo" clippy --offline --workspace --all-targets -- -D warnings || exit 1
    done=1
else
    echo "skipped: there is no clippy for $cargo"
fi
if "$cargo" fmt --version >/dev/null 2>&1; then
    "$python" "$run" "$source" "$folder" -- "$cargo" fmt --all -- --check || exit 1
    done=1
else
    echo "skipped: there is no rustfmt for $cargo"
fi
[ "$done" = 1 ] || exit 77
