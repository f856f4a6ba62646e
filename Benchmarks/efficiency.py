"""What an optimizer and an architecture are worth: loss against compute at several sizes, each at its own learning rate.

    python3 Benchmarks/efficiency.py prepare               # text, a vocabulary of 1,024 tokens, a data set
    python3 Benchmarks/efficiency.py run [--jobs 2]        # all runs, some hours of one thread; goes on where it was stopped
    python3 Benchmarks/efficiency.py report                # tables and pictures in docs/training-efficiency.md

Three families of runs of `walet train` on the same real text, each at three sizes: experts with MuonClip, experts with AdamW,
and a dense model of the same active parameters with MuonClip. The learning rate of each run is searched in steps of a factor of
two until both neighbours of the best are worse; the best is what a curve loss = a * FLOPs^-b is fitted to. Runs take one thread
(results do not depend on it), so that several run at a time. Needs `make build`; report needs Benchmarks/requirements.txt.
"""
import argparse
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = pathlib.Path(os.environ.get("WALET_BENCH_DIR", ROOT / "Benchmarks" / ".bench"))
FOLDER = BENCH / "efficiency"
PAGE = ROOT / "docs" / "training-efficiency.md"
IMAGES = ROOT / "docs" / "images"
SOURCES = ["fortunes", "kjv", "anarchism"]
VOCABULARY = 1024
TOKENS_PER_PARAMETER = 4
START = 0.004  # a first learning rate; the next size begins at the best of the one before
LOWEST, HIGHEST = START / 64, START * 64

# name: depth, width. Everything else follows from the dial.
SIZES = {"small": (2, 64), "middle": (3, 96), "large": (3, 128)}
FAMILIES = {
    "MuonClip, experts": {"training.optimizer": "muonclip"},
    "AdamW, experts": {"training.optimizer": "adamw"},
    "MuonClip, dense": {"training.optimizer": "muonclip", "model.experts": 0},
}
# The dense model's one feed-forward is as wide as the experts that a token takes, and it trains on as many tokens.
KEYS_OF_EXPERTS = ["model.dense_size", "training.tokens"]


def walet(*arguments, **options):
    return subprocess.run([os.environ.get("WALET", ROOT / ".build" / "release" / "walet"), *map(str, arguments)],
                          text=True, **options)


def prepare():
    FOLDER.mkdir(parents=True, exist_ok=True)
    corpus = FOLDER / "corpus"
    if not (FOLDER / "data").exists():
        subprocess.run([sys.executable, ROOT / "Tools" / "make_corpus.py", corpus, *SOURCES], check=True)
        walet("train", "tokenizer", corpus, "--out", FOLDER / "tokenizer", "--vocabulary-size", VOCABULARY, check=True)
        walet("train", "data", corpus, "--tokenizer", FOLDER / "tokenizer", "--out", FOLDER / "data",
              "--validation-fraction", 0.02, check=True)


def settings(size, family, rate):
    depth, width = SIZES[size]
    values = {"model.hidden_size": width, "model.vocabulary_size": VOCABULARY, "model.experts": 16, "batch.length": 128,
              "batch.sequences": 16, "training.tokens_per_parameter": TOKENS_PER_PARAMETER, "validation.tokens": 65_536,
              "validation.every": 100_000, "checkpoint.every": 200, "checkpoint.keep": 1, "samples.every": 0,
              "training.learning_rate": rate}
    values |= FAMILIES[family]
    if values["model.experts"] == 0:
        recipe = dry_run(depth, settings(size, "MuonClip, experts", rate)[1])[0]
        values |= {key: value_of(recipe, key) for key in KEYS_OF_EXPERTS}
    return depth, values


def arguments_of(depth, values):
    words = ["--depth", depth, "--data", FOLDER / "data"]
    for key, value in values.items():
        words += ["--set", f"{key}={value}"]
    return words


def dry_run(depth, values):
    done = walet("train", "run", *arguments_of(depth, values), "--dry-run", check=True, capture_output=True)
    return done.stdout, done.stderr


def value_of(recipe, key):
    section, name = key.split(".")
    part = re.search(rf"^{section}:\n((?:  .*\n)+)", recipe, re.M)[1]
    return re.search(rf"^  {name}: (\S+)", part, re.M)[1]


def folder_of(size, family, rate):
    return FOLDER / "runs" / re.sub(r"\W+", "-", f"{size} {family} {rate:.6g}".replace(".", "_"))


def records(folder, kind):
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    parsed = (json.loads(line) for line in path.read_text().splitlines() if line.endswith("}"))
    return [record for record in parsed if record["kind"] == kind]


def outcome(folder):
    """Validation loss at the end of a run, or None. A run that ended with an error counts as infinitely bad."""
    if (folder / "failed").exists():
        return math.inf
    if not (folder / "model").exists():
        return None
    value = records(folder, "validation")[-1]["loss"]
    return value if isinstance(value, float) else math.inf


class Search:
    """The runs of one size and family: which rate comes next, and which was best."""

    def __init__(self, size, family, start):
        self.size, self.family, self.start = size, family, start

    def losses(self):
        rates = [self.start * 2.0 ** power for power in range(-12, 13)]
        values = {rate: outcome(folder_of(self.size, self.family, rate)) for rate in rates}
        return {rate: value for rate, value in values.items() if value is not None}

    def next(self):
        known = self.losses()
        if not known:
            return self.start
        best = min(known, key=known.get)
        for neighbour in (best * 2, best / 2):
            if neighbour not in known and LOWEST <= neighbour <= HIGHEST:
                return neighbour
        return None

    def best(self):
        known = self.losses()
        return min(known, key=known.get)


def train(size, family, rate, running):
    folder = folder_of(size, family, rate)
    words = arguments_of(*settings(size, family, rate))
    resume = ["--resume"] if (folder / "metrics.jsonl").exists() else []
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [os.environ.get("WALET", ROOT / ".build" / "release" / "walet"), "train", "run", *words, "--out", folder,
               "--threads", 1, *resume]
    with open(f"{folder}.log", "a") as log:
        process = subprocess.Popen(["nice", "-n", "19", *map(str, command)], stdout=subprocess.DEVNULL, stderr=log)
        running.add(process)
        status = process.wait()
        running.discard(process)
    if status == 1 and (folder / "checkpoints").exists() and (folder / "model").exists() is False:
        text = pathlib.Path(f"{folder}.log").read_text()
        if "not finite" in text.splitlines()[-1]:
            (folder / "failed").touch()
            return
    if status != 0:
        sys.exit(f"{folder.name}: {pathlib.Path(f'{folder}.log').read_text().splitlines()[-1:]}")
    print(f"{size}, {family}, {rate:.6g}: {outcome(folder):.4f}", flush=True)


def run(jobs):
    running = set()
    lock = threading.Lock()
    chains = [[(size, family) for size in SIZES] for family in FAMILIES]
    failed = []

    def follow(chain):
        start = START
        for size, family in chain:
            search = Search(size, family, start)
            while (rate := search.next()) is not None:
                try:
                    train(size, family, rate, running)
                except SystemExit as error:
                    failed.append(str(error))
                    return
            start = search.best()

    def work():
        while True:
            with lock:
                if not chains:
                    return
                chain = chains.pop(0)
            follow(chain)

    def stop(*_):
        for process in list(running):
            process.terminate()
        os._exit(1)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit("\n".join(failed))


# Report


def flops(size, family, rate):
    text = dry_run(*settings(size, family, rate))[1]
    numbers = re.search(r"([\d.]+)([kM]) parameters, ([\d.]+)([kM]) active a token; ([\d.]+)([kM]) tokens .* ([\d.e+]+) FLOPs",
                        text)
    unit = {"k": 1e3, "M": 1e6}
    return {"parameters": float(numbers[1]) * unit[numbers[2]], "active": float(numbers[3]) * unit[numbers[4]],
            "tokens": float(numbers[5]) * unit[numbers[6]], "flops": float(numbers[7])}


def results():
    """Of each family and size: all rates with their losses, the best, its size and cost."""
    table = {}
    for family in FAMILIES:
        start = START
        for size in SIZES:
            search = Search(size, family, start)
            losses = search.losses()
            if not losses or search.next() is not None:
                break
            start = search.best()
            largest = max((value for record in records(folder_of(size, family, start), "step")
                           for value in record.get("max_logits", []) if isinstance(value, float)), default=0.0)
            table[family, size] = {"losses": losses, "rate": start, "loss": losses[start], "largest_logit": largest,
                                   "vertex": vertex(losses, start), **flops(size, family, start)}
    return table


def vertex(losses, best):
    """The rate at the lowest point of a parabola through the best and its neighbours, over the logarithm of the rate."""
    left, right = losses.get(best / 2), losses.get(best * 2)
    if left is None or right is None or not (math.isfinite(left) and math.isfinite(right)):
        return best
    bend = left - 2 * losses[best] + right
    return best * 2 ** (0.5 * (left - right) / bend) if bend > 0 else best


def fit(points):
    """(a, b) of y = a * x^b by least squares of logarithms."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)
    return math.exp(mean_y - slope * mean_x), slope


def at_loss(curve, loss):
    return (loss / curve[0]) ** (1 / curve[1])


def compare(table, ours, theirs, curves):
    """Rows of: loss of theirs at each size, and the FLOPs that each needs for it by its curve."""
    rows = []
    for size in SIZES:
        loss = table[theirs, size]["loss"]
        rows.append((size, loss, at_loss(curves[ours], loss), at_loss(curves[theirs], loss)))
    return rows


def report():
    table = results()
    done = [family for family in FAMILIES if all((family, size) in table for size in SIZES)]
    print(f"whole: {', '.join(done) or 'none'}")
    lines = ["| family | size | parameters | active | tokens | FLOPs | best rate | of | loss, nats a token | largest logit |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for (family, size), row in table.items():
        tried = ", ".join(f"{rate:g}: {value:.4f}" for rate, value in sorted(row["losses"].items()))
        lines.append(f"| {family} | {size} | {row['parameters'] / 1e3:,.0f}k | {row['active'] / 1e3:,.0f}k | "
                     f"{row['tokens'] / 1e6:.1f}M | {row['flops']:.2e} | {row['rate']:g} (parabola {row['vertex']:.4f}) | {tried} | "
                     f"**{row['loss']:.4f}** | {row['largest_logit']:.0f} |")
    curves = {family: fit([(table[family, size]["flops"], table[family, size]["loss"]) for size in SIZES])
              for family in done}
    lines.append("")
    for family, (a, b) in curves.items():
        lines.append(f"- {family}: loss = {a:.3f} · FLOPs^{b:.4f}")
    for ours, theirs in [("MuonClip, experts", "AdamW, experts"), ("MuonClip, experts", "MuonClip, dense")]:
        if ours in curves and theirs in curves:
            lines += ["", f"| loss of {theirs} at size | loss | FLOPs of {ours} for it | of {theirs} | ratio |",
                      "|---|---|---|---|---|"]
            for size, loss, one, other in compare(table, ours, theirs, curves):
                lines.append(f"| {size} | {loss:.4f} | {one:.2e} | {other:.2e} | **{one / other:.2f}** |")
    experts, dense = "MuonClip, experts", "MuonClip, dense"
    if experts in curves and dense in curves:
        lines += ["", "| size of the dense model | active parameters that experts need for its loss, of its own | "
                  "parameters in memory, of its own |", "|---|---|---|"]
        active = {family: fit([(table[family, size]["active"], table[family, size]["loss"]) for size in SIZES])
                  for family in (experts, dense)}
        whole = fit([(table[experts, size]["parameters"], table[experts, size]["loss"]) for size in SIZES])
        for size in SIZES:
            row = table[dense, size]
            lines.append(f"| {size} | {at_loss(active[experts], row['loss']) / row['active']:.2f} | "
                         f"{at_loss(whole, row['loss']) / row['parameters']:.2f} |")
    if experts in curves:
        a, b = fit([(table[experts, size]["active"], table[experts, size]["vertex"]) for size in SIZES])
        lines += ["", f"Best rate of {experts} = {a:.4g} · active^{b:.3f} (batch of 2,048 tokens)."]
    text = "\n".join(lines)
    print(text)
    begin, end = "<!-- efficiency: begin -->", "<!-- efficiency: end -->"
    page = PAGE.read_text() if PAGE.exists() else f"{begin}\n{end}\n"
    PAGE.write_text(page.split(begin)[0] + begin + "\n\n" + text + "\n\n" + end + page.split(end)[1])
    plot(table, curves)


def plot(table, curves):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = dict(zip(FAMILIES, ["#1b6ca8", "#c8553d", "#5a8f4f"]))
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6))
    for family, (a, b) in curves.items():
        points = [(table[family, size]["flops"], table[family, size]["loss"]) for size in SIZES]
        axes[0].plot(*zip(*points), "o", color=colours[family])
        xs = [points[0][0] * 0.7 * (points[-1][0] / points[0][0] * 2) ** (i / 40) for i in range(41)]
        axes[0].plot(xs, [a * x ** b for x in xs], "-", color=colours[family], label=f"{family}: {a:.2f} C^{b:.3f}")
    axes[0].set(xscale="log", yscale="log", xlabel="training FLOPs", ylabel="validation loss, nats a token",
                title="loss against compute")
    axes[0].legend()
    axes[0].yaxis.set_minor_formatter(matplotlib.ticker.FormatStrFormatter("%.1f"))
    styles = dict(zip(SIZES, [":", "--", "-"]))
    for (family, size), row in table.items():
        points = sorted((rate, value) for rate, value in row["losses"].items() if math.isfinite(value))
        axes[1].plot(*zip(*points), styles[size], marker="o", markersize=3, color=colours[family],
                     label=f"{family}, {size}")
    axes[1].set(xscale="log", xlabel="learning rate", ylabel="validation loss, nats a token", title="each rate that was tried")
    axes[1].legend(fontsize=7)
    for axis in axes:
        axis.grid(True, which="both", alpha=0.2)
    figure.tight_layout()
    figure.savefig(IMAGES / "efficiency.png", dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["prepare", "run", "report"])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, of one thread each")
    options = parser.parse_args()
    {"prepare": prepare, "run": lambda: run(options.jobs), "report": report}[options.command]()


if __name__ == "__main__":
    main()
