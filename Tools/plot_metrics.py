"""Draws the curves of training runs as a PNG, for documents that cannot hold the HTML report.

    python3 -m venv .venv && .venv/bin/pip install -r Benchmarks/requirements.txt
    .venv/bin/python Tools/plot_metrics.py OUT.png RUN [RUN…]       # folders with metrics.jsonl
    .venv/bin/python Tools/plot_metrics.py --panels loss,logit OUT.png RUN [RUN…]     # those whose titles have a word
"""
import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

STRANGE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def number(value):
    return STRANGE[value] if isinstance(value, str) else value


def read(folder):
    records = {"step": [], "validation": []}
    with open(pathlib.Path(folder) / "metrics.jsonl", encoding="utf-8") as file:
        for line in file:
            # The last line of a running process may be half a line.
            if line.endswith("\n"):
                record = json.loads(line)
                records.setdefault(record["kind"], []).append(record)
    return records


def dead(record):
    return sum(count == 0 for layer in record.get("expert_tokens", []) for count in layer)


def load(record):
    return max((max(layer) * len(layer) / sum(layer) for layer in record.get("expert_tokens", []) if sum(layer)),
               default=float("nan"))


PANELS = [
    ("training loss, nats a token", "step", lambda r: number(r["loss"]), False),
    ("validation, bits a byte", "validation", lambda r: number(r["bits_per_byte"]), False),
    ("largest attention logit", "step", lambda r: max(map(number, r.get("max_logits", [])), default=float("nan")), True),
    ("heads changed by QK-Clip", "step", lambda r: sum(r.get("clipped_heads", [])), False),
    ("busiest expert by its layer's mean", "step", load, False),
    ("dead experts", "step", dead, False),
    ("gradient norm", "step", lambda r: number(r["gradient_norm"]), True),
    ("learning rate", "step", lambda r: number(r["learning_rate"]), False),
]


def main():
    arguments = sys.argv[1:]
    panels = PANELS
    if arguments[:1] == ["--panels"]:
        words = arguments[1].split(",") if len(arguments) > 1 else []
        panels = [panel for panel in PANELS if any(word in panel[0] for word in words)]
        arguments = arguments[2:]
    if len(arguments) < 2 or not panels:
        sys.exit("plot_metrics.py [--panels WORD,WORD] OUT.png RUN [RUN…]")
    runs = {pathlib.Path(folder).resolve().name: read(folder) for folder in arguments[1:]}
    rows = (len(panels) + 1) // 2
    figure, axes = plt.subplots(rows, min(2, len(panels)), figsize=(13, 4 * rows), constrained_layout=True, squeeze=False)
    for axis in axes.flat[len(panels):]:
        axis.set_visible(False)
    for axis, (title, kind, value, logarithmic) in zip(axes.flat, panels):
        for index, (name, records) in enumerate(runs.items()):
            axis.plot([r["tokens"] for r in records[kind]], [value(r) for r in records[kind]], label=name, linewidth=1.2,
                      linestyle=["-", "--", ":", "-."][index % 4])
        axis.set_title(title)
        axis.set_xlabel("tokens")
        axis.grid(alpha=0.3)
        if logarithmic:
            axis.set_yscale("log")
    axes.flat[0].legend()
    figure.savefig(arguments[0], dpi=110)


if __name__ == "__main__":
    main()
