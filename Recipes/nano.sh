#!/bin/bash
# Makes walet-nano from nothing: data, pre-training, fine-tuning, reinforcement, INT4, and what each stage can do.
#
#     Recipes/nano.sh [FOLDER]      # runs/nano
#
# A run that was ended goes on where it was, by the same command. With the same sources the weights are the same, bit for bit,
# on every machine whose CPU has the same instructions. The model is then in FOLDER/walet-nano, its log in
# FOLDER/walet-nano/training.log.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-runs/nano}
walet=${WALET:-.build/release/walet}
mkdir -p "$folder"
log="$folder/nano.log"

say() { echo "$(date -u '+%F %T') $*" | tee -a "$log" >&2; }

# Makes a file by a command, whole or not at all.
make_file() {
    local file=$1
    shift
    [ -e "$file" ] && return
    "$@" > "$file.partial" 2>> "$folder/commands.log"
    mv "$file.partial" "$file"
    say "${file#"$folder"/}  sha256 $(sha256sum "$file" | cut -c1-64)"
}

# Runs a stage, or goes on with it: subcommand, name, further options.
stage() {
    local command=$1 name=$2
    shift 2
    [ -d "$folder/$name/model" ] && return
    local begin=$SECONDS
    say "$name: begins"
    if [ -e "$folder/$name/recipe.yaml" ]; then
        "$walet" train "$command" --out "$folder/$name" --resume 2>> "$folder/commands.log" > /dev/null
    else
        "$walet" train "$command" "Recipes/nano/$name.yaml" --out "$folder/$name" "$@" 2>> "$folder/commands.log" > /dev/null
    fi
    say "$name: done in $((SECONDS - begin)) s  sha256 $(sha256sum "$folder/$name/model/model.safetensors" | cut -c1-64)"
}

# Held-out problems, with thinking and without.
measure() {
    local name=$1 model=$2
    make_file "$folder/eval-$name.json" "$walet" eval "$model" --language both --problems 40 --max-tokens 560 \
        --precision exact --batch 64 --json --out "$folder/answers-$name.jsonl"
}

data() {
    [ -e "$2/dataset.json" ] && return
    rm -rf "$2"
    "$walet" train data "$1" --tokenizer "$folder/tokenizer" --out "$2" --validation-fraction 0.01 "${@:3}" \
        >> "$folder/commands.log" 2>&1
    say "${2#"$folder"/}  sha256 $(sha256sum "$2/dataset.json" | cut -c1-64)"
}

say "$("$walet" --version), $(nproc) threads, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-)"
make_file "$folder/problems.jsonl" "$walet" train problems --language both --count 1500 --seed 101 --format text
make_file "$folder/talk.jsonl" "$walet" train conversations --count 40000 --seed 102 --format text
make_file "$folder/conversations.jsonl" "$walet" train conversations --count 400000 --seed 103 --direct 20 \
    --tasks addition=4,subtraction=6,multiplication=4,comparison=6,sorting=12,letters=8,calendar=1,countdown=6,prices=4
make_file "$folder/more.jsonl" "$walet" train conversations --count 90000 --seed 104 --direct 20 \
    --tasks addition=2,subtraction=3,multiplication=2,comparison=3,sorting=10,letters=5,calendar=20,countdown=12,prices=3 \
    --brief calendar=70,countdown=70
make_file "$folder/last.jsonl" "$walet" train conversations --count 90000 --seed 105 --direct 20 \
    --kinds problem=8,wrapped=6,turns=2,small-talk=2,outside=4 \
    --tasks addition=2,subtraction=3,multiplication=2,comparison=3,sorting=11,letters=5,calendar=18,countdown=9,prices=3
if [ ! -e "$folder/tokenizer/tokenizer.json" ]; then
    "$walet" train tokenizer "$folder/problems.jsonl" "$folder/talk.jsonl" --out "$folder/tokenizer" \
        --vocabulary-size 512 --split qwen2 --chat >> "$folder/commands.log" 2>&1
fi
mkdir -p "$folder/text"
ln -f "$folder/problems.jsonl" "$folder/talk.jsonl" "$folder/text/"
data "$folder/text" "$folder/text-data"
data "$folder/conversations.jsonl" "$folder/chat-data" --chat
data "$folder/more.jsonl" "$folder/more-data" --chat
data "$folder/last.jsonl" "$folder/last-data" --chat

stage run pretrain --data "$folder/text-data"
stage sft sft --model "$folder/pretrain/model" --data "$folder/chat-data"
stage sft more --model "$folder/sft/model" --data "$folder/more-data"
measure sft "$folder/more/model"
stage grpo grpo --model "$folder/more/model"
measure grpo "$folder/grpo/model"
stage qat qat --model "$folder/grpo/model" --data "$folder/last-data"
if [ ! -e "$folder/walet-nano/config.json" ]; then
    "$walet" train export "$folder/qat" "$folder/walet-nano" --half 2>> "$folder/commands.log"
    cp Recipes/nano/generation_config.json "$folder/walet-nano/"
    say "walet-nano  sha256 $(sha256sum "$folder/walet-nano/model.safetensors" | cut -c1-64)"
fi
measure qat "$folder/walet-nano"
cp "$log" "$folder/walet-nano/training.log"
cp Recipes/nano/README.md "$folder/walet-nano/"
mkdir -p "$folder/walet-nano/recipes"
cp Recipes/nano/*.yaml "$folder/walet-nano/recipes/"
say "the model is in $folder/walet-nano; what ships is Sources/Walet/Resources/walet-nano"
