#!/usr/bin/env bash
# Runs NVIDIA's aiperf against a running server that serves SmolLM2: streaming chats of many clients, with aiperf's own tokenizer
# counts beside the usage that the server reports. Nothing is downloaded.
#
#   python3 -m venv .venv-aiperf && .venv-aiperf/bin/pip install -r Tools/requirements-aiperf.txt
#   PYTHON=.venv-aiperf/bin/python Tools/run_aiperf.sh http://127.0.0.1:8080 MODEL [KEY] [CLIENTS] [REQUESTS]
#
# Checks that every request was answered, that answers have as many tokens as were asked for, and that aiperf finds no difference
# between its own counts and the server's; prints `N passed, M failed`.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n 's/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
cd "$(dirname "$0")/.."
base=${1%/}
model=$2
key=${3:-none}
clients=${4:-8}
requests=${5:-32}
# Offline mode would make aiperf look for the tokenizer's folder in the hub's cache; a folder needs no hub.
export TOKENIZERS_PARALLELISM=false
python=${PYTHON:-.venv-aiperf/bin/python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HF_HOME=$folder/home

"$python" Tools/lm_eval_task/make_tokenizer.py "${VOCABULARY:-.models/smollm2/vocabulary.json}" "$folder/tokenizer"
"${python%/*}/aiperf" profile --model "$model" --url "$base" --endpoint-type chat --streaming --api-key "$key" \
    --tokenizer "$folder/tokenizer" --synthetic-input-tokens-mean 200 --synthetic-input-tokens-stddev 40 \
    --output-tokens-mean 32 --output-tokens-stddev 0 --extra-inputs ignore_eos:true --concurrency "$clients" \
    --request-count "$requests" --random-seed 1 --ui none --no-gpu-telemetry --no-server-metrics \
    --artifact-dir "$folder/results" >&2
"$python" Tools/check_aiperf.py "$folder/results" "$requests"
