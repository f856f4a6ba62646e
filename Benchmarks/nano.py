"""What walet-nano can do after each stage, and how that grows with samples and with room to think.

    Recipes/nano.sh runs/nano
    python3 -m venv .venv-bench && .venv-bench/bin/pip install -r Benchmarks/requirements.txt
    .venv-bench/bin/python Benchmarks/nano.py runs/nano              # tables, and docs/images/nano-*.png
    .venv-bench/bin/python Benchmarks/nano.py runs/nano --no-scaling # without the minutes of more answers

Tables go to standard output as Markdown. Intervals hold at 95%: Wilson's for rates, and for the difference between two stages, which
answered the same problems, that of the mean of paired differences.
"""
import argparse
import json
import math
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
STAGES = ["sft", "grpo", "qat"]
NAMES = {"sft": "SFT", "grpo": "GRPO", "qat": "QAT (INT4)"}
COLOURS = {"sft": "#8aa1b1", "grpo": "#3b6ea8", "qat": "#1d3557", "direct": "#c9a227"}


def scores(folder, stage):
    """{way: {task: (rate, low, high, tokens)}}, with None for all tasks."""
    runs = json.loads((folder / f"eval-{stage}.json").read_text())
    return {run["way"]: {entry["task"]: (entry["pass_at_1"], entry["low"], entry["high"], entry["tokens"])
                         for entry in run["tasks"]} for run in runs}


def answers(folder, stage):
    """{(way, task, level, place): right}; the same problems in the same order for every stage."""
    result, places = {}, {}
    for line in (folder / f"answers-{stage}.jsonl").open(encoding="utf-8"):
        answer = json.loads(line)
        key = (answer["way"], answer["question"])
        number = places[key] = places.get(key, 0) + 1
        result[(*key, number)] = (answer["task"], answer["level"], answer["right"])
    return result


def difference(before, after, task, way="thinking", levels=None):
    """Mean of after - before over the problems that both answered, and half the interval."""
    pairs = [after[key][2] - before[key][2] for key in before
             if key in after and key[0] == way and before[key][0] == task
             and (levels is None or before[key][1] in levels)]
    mean = sum(pairs) / len(pairs)
    deviation = math.sqrt(sum((pair - mean) ** 2 for pair in pairs) / max(1, len(pairs) - 1))
    return mean, 1.96 * deviation / math.sqrt(len(pairs)), len(pairs)


def percent(rate):
    return f"{100 * rate:.1f}"


def stage_table(folder):
    all_scores = {stage: scores(folder, stage) for stage in STAGES}
    tasks = [task for task in all_scores["sft"]["thinking"] if task is not None] + [None]
    print("| task | " + " | ".join(NAMES[stage] for stage in STAGES) + " | 95% interval | tokens | at once, without thinking |")
    print("|---|" + "---|" * (len(STAGES) + 3))
    for task in tasks:
        cells = [percent(all_scores[stage]["thinking"][task][0]) for stage in STAGES]
        _, low, high, tokens = all_scores["qat"]["thinking"][task]
        direct = all_scores["qat"]["no thinking"][task][0]
        print(f"| {task or '**all**'} | " + " | ".join(cells)
              + f" | {percent(low)} to {percent(high)} | {tokens:.0f} | {percent(direct)} |")
    print()
    return all_scores, [task for task in tasks if task]


def gains(folder, tasks):
    found = {stage: answers(folder, stage) for stage in STAGES}
    print("| task | GRPO less SFT | QAT less GRPO | problems |")
    print("|---|---|---|---|")
    for task in tasks:
        cells = []
        for before, after in [("sft", "grpo"), ("grpo", "qat")]:
            mean, half, count = difference(found[before], found[after], task)
            cells.append(f"{100 * mean:+.1f} ({100 * (mean - half):+.1f} to {100 * (mean + half):+.1f})")
        print(f"| {task} | {cells[0]} | {cells[1]} | {count} |")
    print()


def evaluate(walet, model, *options):
    command = [walet, "eval", model, "--thinking", "on", "--language", "both", "--precision", "exact", "--batch", "64", "--json",
               *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]


def scaling(walet, model, tasks, problems):
    """Accuracy by samples, and by the tokens that an answer may have."""
    curves = {}
    for task in tasks:
        run = evaluate(walet, model, "--task", task, "--problems", str(problems), "--samples", "32", "--temperature", "1",
                       "--max-tokens", "560")
        whole = next(entry for entry in run["tasks"] if entry["task"] == task)
        majority = {1: whole["pass_at_1"], **{entry["k"]: entry["rate"] for entry in whole["majority_at_k"]}}
        passed = {1: whole["pass_at_1"], **{entry["k"]: entry["rate"] for entry in whole["pass_at_k"]}}
        rooms = {}
        for room in [30, 60, 120, 240, 560]:
            run = evaluate(walet, model, "--task", task, "--problems", str(problems), "--max-tokens", str(room))
            rooms[room] = next(entry for entry in run["tasks"] if entry["task"] == task)["pass_at_1"]
        curves[task] = {"majority": majority, "pass": passed, "room": rooms}
    counts = sorted(next(iter(curves.values()))["majority"])
    print("| task | " + " | ".join(f"majority@{k}" for k in counts) + " | pass@" + str(counts[-1]) + " |")
    print("|---|" + "---|" * (len(counts) + 1))
    for task, curve in curves.items():
        print(f"| {task} | " + " | ".join(percent(curve["majority"][k]) for k in counts)
              + f" | {percent(curve['pass'][counts[-1]])} |")
    print()
    rooms = sorted(next(iter(curves.values()))["room"])
    print("| task | " + " | ".join(f"at most {room} tokens" for room in rooms) + " |")
    print("|---|" + "---|" * len(rooms))
    for task, curve in curves.items():
        print(f"| {task} | " + " | ".join(percent(curve["room"][room]) for room in rooms) + " |")
    print()
    return curves


def plot_stages(all_scores, tasks, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(9, 4), constrained_layout=True)
    bars = [(NAMES[stage] + ", thinking", COLOURS[stage], [all_scores[stage]["thinking"][task] for task in tasks])
            for stage in STAGES]
    bars.append(("QAT, at once", COLOURS["direct"], [all_scores["qat"]["no thinking"][task] for task in tasks]))
    width = 0.8 / len(bars)
    for number, (name, colour, values) in enumerate(bars):
        places = [index + (number - (len(bars) - 1) / 2) * width for index in range(len(tasks))]
        rates = [100 * value[0] for value in values]
        # Rounding can put the end of an interval at 100% a trace below the rate.
        errors = [[100 * max(0, value[0] - value[1]) for value in values],
                  [100 * max(0, value[2] - value[0]) for value in values]]
        axes.bar(places, rates, width, yerr=errors, label=name, color=colour, error_kw={"linewidth": 0.7})
    axes.set_xticks(range(len(tasks)), tasks, fontsize=8)
    axes.set_ylabel("held-out problems right, %")
    axes.set_ylim(0, 104)
    axes.set_title("walet-nano after each stage", loc="left")
    axes.legend(ncols=4, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def plot_scaling(curves, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True, sharey=True)
    for task, curve in curves.items():
        for axis, name in zip(axes, ["majority", "room"]):
            places = sorted(curve[name])
            axis.plot(places, [100 * curve[name][place] for place in places], marker="o", label=task)
    axes[0].set_xlabel("answers that vote, temperature 1")
    axes[1].set_xlabel("tokens that an answer may have, greedy")
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("held-out problems right, %")
    axes[0].set_title("walet-nano: more samples, more tokens", loc="left")
    axes[1].legend(frameon=False)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="what Recipes/nano.sh made")
    parser.add_argument("--walet", default=str(ROOT / ".build/release/walet"))
    parser.add_argument("--images", type=pathlib.Path, default=ROOT / "docs/images")
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--tasks", default="countdown", help="for scaling")
    parser.add_argument("--problems", type=int, default=40, help="of each level, for scaling")
    options = parser.parse_args()
    all_scores, tasks = stage_table(options.folder)
    gains(options.folder, tasks)
    plot_stages(all_scores, tasks, options.images / "nano-stages.png")
    if not options.no_scaling:
        curves = scaling(options.walet, str(options.folder / "walet-nano"), options.tasks.split(","), options.problems)
        plot_scaling(curves, options.images / "nano-scaling.png")


if __name__ == "__main__":
    main()
