#!/usr/bin/env bash
# Brings a fresh Debian machine to where Walet builds: missing packages by apt, Python tools into .venv. Does nothing,
# in a second, where all of it is there. Prints to standard error only. `Tools/setup.sh mpi` adds OpenMPI, which nothing
# but training on several processes needs.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v swift >/dev/null; then
    echo "setup: no 'swift' on the PATH. Install Swift 6.1 or newer for this system (https://www.swift.org/install), then run this again." >&2
    exit 1
fi

# g++ and zlib1g-dev: what the C and C++ sources of the HTTP and cryptography packages are built with.
# postgresql and its client: the accounts' tests start a server of their own.
packages=(libopenblas-dev libpcre2-dev libpq-dev libsqlite3-dev zlib1g-dev g++ git pkg-config postgresql postgresql-client
    python3 python3-venv ca-certificates)
[ "${1:-}" != mpi ] || packages+=(libopenmpi-dev openmpi-bin)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup: installing ${missing[*]}" >&2
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

if [ ! -x .venv/bin/python ]; then
    echo "setup: making .venv" >&2
    python3 -m venv .venv >&2
fi
