"""Compares what `walet plan` predicts with what `walet bench` measures, alternately, and writes the table of docs/plan.md.

    python3 Benchmarks/planning.py                       # every row, three rounds, some minutes
    python3 Benchmarks/planning.py --rows smollm2 --rounds 1

A row is a model, with all of its weights in memory or with `--memory` and the rest of its experts on the disk. In each
round the model is measured, on files in the page cache, and then this machine for the plan (`walet bench --plan`). A
streamed row's plan has the hit rate that was measured: it depends on what is asked, the plan's own is an assumption.
"""
import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import sys

import run as harness

HERE = pathlib.Path(__file__).resolve().parent
PAGE = harness.ROOT / "docs" / "plan.md"
BEGIN, END = "<!-- planning: begin (written by Benchmarks/planning.py) -->", "<!-- planning: end -->"
GENERATE = 64
# Name, title, model, memory for the streamed ones.
ROWS = [
    ("smollm2", "SmolLM2-135M, Q4_1", "smollm2", None),
    ("moonlight", "Moonlight shape, Q4_0", "moonlight", None),
    ("moonlight-int4", "Moonlight shape, INT4", "moonlight-int4", None),
    ("moonlight-int4-5G", "Moonlight shape, INT4, 5 GB of memory", "moonlight-int4", "5G"),
]
FIGURES = [("decode", "decode_tokens_per_second"), ("prefill 512", "prefill_tokens_per_second")]


def answer(bench, command):
    words = [str(word) for word in command]
    done = subprocess.run([bench.arguments.walet, *words], capture_output=True, text=True, cwd=harness.ROOT,
                          timeout=bench.arguments.timeout)
    if done.returncode:
        sys.exit(f"planning.py: walet {words[0]}: {harness.complaint(done.stderr)}")
    return json.loads(done.stdout)


def once(bench, model, memory):
    """Predicted and measured figures of one round."""
    path = bench.models[model]
    if not memory:
        bench.warm(model)
    result = answer(bench, ["bench", path, "--prompt", 512, "--generate", GENERATE, "--plan", "--json",
                            *(["--memory", memory] if memory else [])])
    return {key: (result["planned"][key], result[key]) for _, key in FIGURES if key in result["planned"]}


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(results, machine, rounds, version):
    lines = [BEGIN, "", f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB; {rounds} rounds, "
             f"{datetime.date.today()}, walet {version}. Tokens a second, median (minimum-maximum).", "",
             "| model | | predicted | measured | predicted / measured |", "|---|---|---|---|---|"]
    for title, records in results:
        for number, (name, key) in enumerate(FIGURES):
            predicted = [record[key][0] for record in records]
            measured = [record[key][1] for record in records]
            digits = 0 if statistics.median(measured) >= 100 else 1
            ratios = [p / m for p, m in zip(predicted, measured)]
            lines.append(f"| {'' if number else title} | {name} | {spread(predicted, digits)} | {spread(measured, digits)} "
                         f"| {spread(ratios, 2)} |")
    return "\n".join([*lines, "", END])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="*", choices=[row[0] for row in ROWS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one command")
    parser.add_argument("--walet", default=str(harness.ROOT / ".build" / "release" / "walet"))
    parser.add_argument("--dry", action="store_true", help="print the table, leave docs/plan.md alone")
    arguments = parser.parse_args()
    arguments.small = False
    bench = harness.Bench(arguments)
    results = []
    for name, title, model, memory in ROWS:
        if arguments.rows and name not in arguments.rows:
            continue
        records = []
        for number in range(arguments.rounds):
            records.append(once(bench, model, memory))
            harness.say(f"  {name}, round {number + 1}: " + ", ".join(
                f"{figure} {records[-1][key][0]:.1f} of {records[-1][key][1]:.1f}" for figure, key in FIGURES))
        results.append((title, records))
    text = table(results, harness.machine(), arguments.rounds, harness.versions(arguments.walet)["walet"])
    print(text)
    if not arguments.dry:
        page = PAGE.read_text()
        if BEGIN in page:
            page = page[:page.index(BEGIN)] + text + page[page.index(END) + len(END):]
        else:
            page = page.rstrip() + "\n\n## Predicted and measured\n\n" + text + "\n"
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
