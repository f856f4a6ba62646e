#!/usr/bin/env bash
# Training on several processes by OpenMPI: builds walet with the trait MPI into .build-mpi, trains a tiny model on one, two
# and three processes, and compares what they leave; then a process dies, hangs, is stopped. Needs what
# `Tools/setup.sh mpi` installs; `make test-mpi` does both. Some minutes, most of them the build.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v mpirun >/dev/null; then
    echo "test-mpi: no mpirun; Tools/setup.sh mpi installs it" >&2
    exit 1
fi
swift build -c release --traits MPI --scratch-path .build-mpi --product walet
walet=$PWD/.build-mpi/release/walet
python=$PWD/.venv/bin/python

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Cores may be fewer than processes; OpenMPI refuses root unless it is told twice.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks() { local count=$1; shift; mpirun --oversubscribe -n "$count" "$walet" train "$@"; }
# The same in the background, as $job, whose processes leave their numbers in pids/.
begin() {
    local count=$1
    shift
    rm -rf pids log
    mkdir pids
    touch log
    mpirun --oversubscribe -n "$count" bash -c 'echo $$ >"pids/$OMPI_COMM_WORLD_RANK"; exec "$@"' rank \
        "$walet" train "$@" >/dev/null 2>log &
    job=$!
}
# Waits for its end and takes its exit code; it may not hang.
end() {
    for _ in $(seq 1200); do
        if ! kill -0 $job 2>/dev/null; then
            code=0
            wait $job || code=$?
            return
        fi
        sleep 0.05
    done
    kill -KILL $job
    cat log >&2
    fail "$1: it hangs"
}
# Waits for a line of the log, or a folder.
until_there() { while ! [ -d "$1" ] && ! grep -q "$1" log; do kill -0 $job || { cat log >&2; fail "no $1"; }; sleep 0.02; done; }
check() { echo "ok: $1" >&2; }
fail() { echo "test-mpi: $1" >&2; exit 1; }

"$python" - <<'PY'
import json, random
random.seed(1)
words = ["river", "stone", "the", "runs", "over", "swiftlet", "a", "nest", "expert", "routes"]
with open("text.jsonl", "w") as file:
    for number in range(600):
        file.write(json.dumps({"text": " ".join(random.choice(words) for _ in range(25)) + f" {number}"}) + "\n")
PY
"$walet" train tokenizer text.jsonl --out tokenizer --vocabulary-size 300 2>log
"$walet" train data text.jsonl --tokenizer tokenizer --out data --validation-fraction 0.1 >/dev/null 2>log

# The sizes of Recipes/tiny.yaml, for ten steps: what sums round otherwise grows with the steps.
cat >recipe.yaml <<'YAML'
depth: 2
model: {hidden_size: 64, expert_size: 32, vocabulary_size: 300, prediction_layers: 1}
batch: {length: 64, sequences: 12, micro_sequences: 2}
training: {tokens: 7680, learning_rate: 0.005}
validation: {every: 5, tokens: 2048}
checkpoint: {every: 5}
samples: {every: 5, tokens: 8}
log: {every: 1}
data: {folder: data}
YAML

# compare LEFT RIGHT LIMIT: the largest distance of a weight, relative to the largest number of its array.
compare() {
    "$python" - "$@" <<'PY'
import json, struct, sys
from array import array

def read(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: array("f", data[slice(*entry["data_offsets"])]) for name, entry in header.items()}

left, right = (read(folder + "/model/model.safetensors") for folder in sys.argv[1:3])
assert left.keys() == right.keys()
worst = max((max(abs(a - b) for a, b in zip(values, right[name])) / max(max(map(abs, values)), 1e-30), name)
            for name, values in left.items())
print(f"{sys.argv[1]} and {sys.argv[2]}: {worst[0]:.1e} at most ({worst[1]})", file=sys.stderr)
sys.exit(worst[0] > float(sys.argv[3]))
PY
}

"$walet" train recipe.yaml --out one >/dev/null 2>log
for count in 2 3; do
    for apart in false true; do
        ranks $count recipe.yaml --set parallel.experts=$apart --out "$count-$apart" >out 2>log || { cat log >&2; fail "$count processes"; }
        [ "$(grep -c "step 10/10" log)" = 1 ] && [ "$(grep -c '^depth:' out)" = 1 ] || fail "more than one process prints"
        compare one "$count-$apart" 1e-5 || fail "$count processes are not one"
    done
done
check "two and three processes equal one within 1e-5, with experts together and apart"

ranks 2 recipe.yaml --set parallel.experts=true --out again >/dev/null 2>log
cmp 2-true/model/model.safetensors again/model/model.safetensors && cmp 2-true/metrics.jsonl again/metrics.jsonl
check "a run repeats bit for bit"

"$python" - <<'PY'
import json

def checkpoint(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return {k: v["shape"] for k, v in json.loads(file.read(size)).items() if k != "__metadata__"}

def count(shape):
    result = 1
    for size in shape:
        result *= size
    return result

arrays = checkpoint("one/checkpoints/step-000000010/weights.safetensors")
for ranks in 2, 3:
    for apart in False, True:
        steps = [json.loads(line) for line in open(f"{ranks}-{str(apart).lower()}/metrics.jsonl")]
        steps = [step for step in steps if step["kind"] == "step"]
        sent = {step["sent_bytes"] for step in steps}
        replicated = sum(count(shape) for name, shape in arrays.items() if not apart or ".experts." not in name)
        experts = sum(map(len, steps[0]["expert_tokens"]))
        # docs/training-processes.md: gradients and parameters, then what is little.
        formula = 8 * (ranks - 1) * replicated + 16 * (ranks - 1) * (6 + experts + len(arrays))
        formula += 8 * (ranks - 1) * len(steps[0]["max_logits"])  # one head a layer
        if not apart:
            assert sent == {formula}, (ranks, sent, formula)
            text = f"{formula} by the formula, the same"
        else:
            # How many rows travel depends on the router: (n - 1) / n where it prefers nobody.
            rows = sum(sum(layer) for layer in steps[0]["expert_tokens"])
            formula += 8 * (ranks - 1) * experts * 6 // ranks + 8 * (2 * 64 + 1) * rows * (ranks - 1) // ranks
            assert all(abs(value / formula - 1) < 0.15 for value in sent), (ranks, sent, formula)
            text = f"{formula} by the formula for even routing"
        mean = sum(step["sent_bytes"] for step in steps) / len(steps)
        print(f"{ranks} processes, experts {'apart' if apart else 'together'}: {mean:.0f} bytes a step, {text}; "
              f"{steps[0]['exchanges']} exchanges")
PY
check "the traffic is that of the formula"

# A run that would take an hour.
long=(--set training.tokens=7680000 --set checkpoint.every=5 --set validation.every=0 --set samples.every=0)

# mpirun ends its processes so many seconds after its SIGTERM, and forwards nothing that they say meanwhile.
export OMPI_MCA_odls_base_sigkill_timeout=3
for signal in one TERM USR1 INT; do
    begin 2 recipe.yaml "${long[@]}" --set parallel.experts=true --out "stopped-$signal"
    until_there "stopped-$signal/checkpoints/step-000000005"
    # To one process alone, or to mpirun.
    if [ $signal = one ]; then kill -TERM "$(cat pids/1)"; else kill -$signal $job; fi
    end $signal
    step=$(sed -n 's/.*"stopped after step \([0-9]*\)".*/\1/p' "stopped-$signal/journal.jsonl")
    [ $code -ne 0 ] && [ -n "$step" ] && [ -d "$(printf 'stopped-%s/checkpoints/step-%09d' $signal "$step")" ] ||
        { cat log >&2; fail "$signal: not all are stopped"; }
    echo "signal to $signal: stopped after step $step" >&2
done
unset OMPI_MCA_odls_base_sigkill_timeout
check "a signal to one process or to mpirun stops all after the same step"

# As after a crash in step 6 to 9.
cp -r 2-true resumed
rm -r resumed/model resumed/checkpoints/step-000000010
"$walet" train --resume --out resumed --set parallel.experts=false >/dev/null 2>log
grep -q "resumed from .*/step-000000005" log || { cat log >&2; fail "no resume"; }
compare one resumed 1e-5
check "begun on two processes, gone on with one: the run of one, within 1e-5"

for hurt in KILL STOP; do
    for rank in 0 1; do
        name=$hurt-$rank
        begin 2 recipe.yaml --patience 3 "${long[@]}" --out "$name"
        until_there "$name/checkpoints/step-000000010"
        since=$SECONDS
        kill -$hurt "$(cat pids/$rank)"
        end "$name"
        [ $code -ne 0 ] || { cat log >&2; fail "$name: exit code $code"; }
        for file in pids/*; do
            # Whose parent is gone may be there as a zombie.
            ! grep -qs '^State:.*[RSDT] (' "/proc/$(cat "$file")/status" || fail "$name: a process is left"
        done
        grep -q "is lost" log || { cat log >&2; fail "$name: no error"; }
        echo "$name: code $code after $((SECONDS - since)) s: $(grep -m1 'is lost' log)" >&2
        # With another number of processes.
        begin $((1 + 2 * rank)) --resume --out "$name"
        until_there "step .*/10000 "
        grep -q "resumed from .*/step-" log || { cat log >&2; fail "$name: no checkpoint"; }
        ! grep -q damaged log || { cat log >&2; fail "$name: a damaged checkpoint"; }
        kill -TERM "$(cat pids/0)"
        end "$name"
    done
done
check "a process that is killed or hangs ends the job with an error, and the last checkpoint is whole"

sed 's/learning_rate: 0.005/learning_rate: 0.006/' recipe.yaml >other.yaml
code=0
mpirun --oversubscribe -n 1 "$walet" train recipe.yaml --out differs : -n 1 "$walet" train other.yaml --out differs \
    >/dev/null 2>log || code=$?
[ $code -ne 0 ] && grep -q "process 1 of this run has another recipe than process 0" log || { cat log >&2; fail "recipes"; }
[ ! -e differs ] || fail "a run was begun"
check "processes with other recipes refuse to train"
