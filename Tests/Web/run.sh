#!/usr/bin/env bash
# Tests the web page in a real Chromium. Sets up what is missing: Debian's Chromium, and a Python environment in .venv-web.
# Arguments go to pytest, e.g. `-k markdown`, or `--server http://127.0.0.1:8080 --api-key … --operator-key …`.
# `run.sh --screenshots` makes docs/images/ anew instead.
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(chromium python3 python3-venv fonts-inter fonts-jetbrains-mono)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "web tests: installing ${missing[*]}" >&2
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

# The stamp is what is installed, so that a change of the list is followed.
if ! cmp -s Tests/Web/requirements.txt .venv-web/requirements.txt; then
    echo "web tests: making .venv-web" >&2
    python3 -m venv --clear .venv-web >&2
    .venv-web/bin/pip install --quiet --disable-pip-version-check -r Tests/Web/requirements.txt >&2
    cp Tests/Web/requirements.txt .venv-web/requirements.txt
fi

if [ "${1:-}" = --screenshots ]; then
    exec .venv-web/bin/python Tests/Web/screenshots.py
fi
cd Tests/Web
exec ../../.venv-web/bin/python -m pytest -q -p no:cacheprovider "$@"
