#!/bin/sh
# Compiles the kernels for 64-bit ARM and runs Tools/kernels_selftest.c under qemu, so that NEON is tested on an x86
# machine; first it does the same for this machine, as `swift test` compiles without optimization. Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user, and a clang that knows AArch64
# (Swift's does); without clang it uses the gcc, told not to fuse products.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sources="$(find Sources/CWaletKernels -name '*.c') Tools/kernels_selftest.c"

${CC:-clang} -std=gnu11 -O2 -Wall -Wextra -ISources/CWaletKernels/include $sources -o "$folder/native" -lm -lpthread
"$folder/native" Tests/Fixtures/blocks

if ! command -v qemu-aarch64 >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    echo "note: no qemu-user or gcc-aarch64-linux-gnu here, so NEON was not tested" >&2
    exit 0
fi
if clang --print-targets 2>/dev/null | grep -q aarch64; then
    compiler="clang --target=aarch64-linux-gnu"
else
    compiler="aarch64-linux-gnu-gcc -ffp-contract=off -Wno-unknown-pragmas"
fi
for source in $sources; do
    $compiler -std=gnu11 -O2 -Wall -Wextra -ISources/CWaletKernels/include -c "$source" \
        -o "$folder/$(echo "$source" | tr / _).o"
done
aarch64-linux-gnu-gcc -static "$folder"/*.o -o "$folder/selftest" -lm -lpthread
qemu-aarch64 "$folder/selftest" Tests/Fixtures/blocks
