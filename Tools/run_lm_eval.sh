#!/usr/bin/env bash
# Runs lm-eval's local-completions against a running server that serves SmolLM2: log probabilities of answers (capitals),
# perplexity of texts (proverbs) and generated answers (counting), on the files in Tools/lm_eval_task; nothing is downloaded.
#
#   python3 -m venv .venv-eval && .venv-eval/bin/pip install -r Tools/requirements-eval.txt
#   PYTHON=.venv-eval/bin/python Tools/run_lm_eval.sh http://127.0.0.1:8080 MODEL [KEY]
#
# Compares the results with those of transformers on the same weights (Tools/lm_eval_task/expected.json; README.md says how they
# were made) and prints `N passed, M failed`.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n 's/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
cd "$(dirname "$0")/.."
base=${1%/}
model=$2
export OPENAI_API_KEY=${3:-none}
# No look-ups of data sets or tokenizers elsewhere.
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=false
python=${PYTHON:-.venv-eval/bin/python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HF_HOME=$folder/home

"$python" Tools/lm_eval_task/make_tokenizer.py "${VOCABULARY:-.models/smollm2/vocabulary.json}" "$folder/tokenizer"
"$python" -m lm_eval run --model local-completions --tasks walet_capitals,walet_proverbs,walet_counting \
    --include_path Tools/lm_eval_task --output_path "$folder/results" --batch_size 4 \
    --model_args "model=$model,base_url=$base/v1/completions,tokenizer_backend=huggingface,tokenizer=$folder/tokenizer,num_concurrent=4,max_retries=1,max_length=2048" >&2
"$python" Tools/lm_eval_task/compare.py "$folder/results" Tools/lm_eval_task/expected.json
