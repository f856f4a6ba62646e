"""Writes this machine's part of performance.md, between two markers, and its plot from run.py's results.

    Benchmarks/.venv-bench/bin/python Benchmarks/report.py TABLE.json FOLDER
"""
import json
import pathlib
import re
import sys

HEAD = """# Performance

How fast Walet is, as ratios to its peers and to the machine's memory in the same run. `make bench` writes the part of the machine
it runs on, table and plot, anew; the other machines' parts stay.

"""


def slug(machine):
    """What names a machine in markers and files: its CPU."""
    return re.sub("[^a-z0-9]+", "-", machine["cpu"].lower()).strip("-")


def markers(machine):
    return f"<!-- benchmark: begin {slug(machine)} (written by Benchmarks/run.py) -->", f"<!-- benchmark: end {slug(machine)} -->"


def ratio(spread, digits=2):
    return f"{spread['median']:.{digits}f} ({spread['min']:.{digits}f}-{spread['max']:.{digits}f})"


def figure(spread, unit):
    value = spread["median"]
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def verdict(line):
    if line["wanted"] is None:
        return ""
    if "ratio" not in line:
        return "not measured"
    return "yes" if line["ratio"]["median"] >= line["wanted"] else f"no, {1 - line['ratio']['median'] / line['wanted']:.0%} short"


def cells(row, line, first, stamp):
    wanted = "" if line["wanted"] is None else f"{line['wanted']:.2f}"
    title = row["title"] + (f" ({stamp})" if stamp else "") if first else ""
    base = {"memory": "memory's speed"}.get(line["base"], line["base"])
    if line.get("x") is not None:
        line = {**line, "subject": f"{line['subject']} at {line['x']:,}"}
    if "ratio" not in line:
        return [title, line["subject"], base, line["error"], wanted, verdict(line)]
    bytes_ = line["what"] == "bytes"
    subject = figure(line["subject_gb"], "GB/s") if bytes_ else figure(line["subject_value"], line["unit"])
    other = f"{base}, {figure(line['base_gb'], 'GB/s') if bytes_ else figure(line['base_value'], line['base_unit'])}"
    return [title, f"{line['subject']}, {subject}", other, ratio(line["ratio"]), wanted, verdict(line)]


def markdown(data):
    run, machine = data["run"], data["run"]["machine"]
    begin, end = markers(machine)
    out = [begin, "", f"## {machine['cpu']}", ""]
    out += [f"Machine: {machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB, {machine['system']}; "
            f"{machine['instruction_sets']}. {run['threads']} threads unless a row says otherwise, {run['rounds']} rounds, "
            f"{run['date']}, load {run['load_at_start']:.2f} at the start.", ""]
    for threads, speed in run["memory"].items():
        out.append(f"- memory read, {threads} thread{'s' * (threads != '1')}: {speed['median']:.1f} GB/s "
                   f"({speed['min']:.1f}-{speed['max']:.1f})")
    out += [f"- {name}: {version}" for name, version in run["versions"].items()]
    out += ["", "Ratios are median (minimum-maximum) of the rounds; in each round every program ran once, on files in the page "
            "cache. A row with a date comes from an earlier run on the same machine. Memory's speed is measured in each round.",
            "", "| work | measured | against | ratio | wanted | met |", "|---|---|---|---|---|---|"]
    for row in data["rows"]:
        other = row["run"]["date"] != run["date"]
        stamp = f"{row['run']['date'][:10]}, {row['run']['versions']['walet']}" if other else ""
        for number, line in enumerate(row["lines"]):
            out.append("| " + " | ".join(cells(row, line, number == 0, stamp)) + " |")
    if any(row["series"] for row in data["rows"]) or any(row["lines"] for row in data["rows"]):
        out += ["", f"![Ratios, and decode time against size](performance-{slug(machine)}.png)"]
    noted = [row for row in data["rows"] if row["notes"]]
    if noted:
        out += ["", "### What the rows read and hold", ""]
        out += [f"- {row['title']}: {' '.join(row['notes'])}" for row in noted]
    out += ["", "### Command lines", "", "```"]
    for row in data["rows"]:
        out.append(f"# {row['id']} (other work took at most {row['other_cpus'] + row['stolen_cpus']:.2f} CPUs)")
        out += row["commands"]
    out += ["```", "", end]
    return "\n".join(out)


def merge(path, part, begin, end):
    """The page with its part between the markers replaced; what was written around them by hand stays."""
    text = path.read_text() if path.exists() else HEAD + begin + "\n" + end + "\n"
    first = text.find("<!-- benchmark: begin ")
    if begin in text and end in text:
        before, after = text[:text.index(begin)], text[text.index(end) + len(end):]
    elif first >= 0 and begin.startswith("<!-- benchmark: begin "):  # of another machine
        before, after = text[:first], "\n\n" + text[first:]
    else:
        before, after = text.rstrip() + "\n\n", "\n"
    path.write_text(before + part + after)


def label(row, line):
    size = f" at {line['x']:,}" if line.get("x") is not None else ""
    return f"{row['title']}{size} / {line['base']}"


def plot(data, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as pyplot

    bars = [(row, line) for row in data["rows"] for line in row["lines"] if "ratio" in line]
    sweeps = [row for row in data["rows"] if row["series"]]
    if not bars and not sweeps:
        return
    height = max(2.5, 0.34 * len(bars) + 1.2)
    lower = 3.2 * ((len(sweeps) + 1) // 2)
    shape = pyplot.figure(figsize=(11, height + lower), layout="constrained")
    parts = shape.subfigures(2, 1, height_ratios=[height, lower]) if bars and sweeps else [shape, shape]
    if bars:
        axes = parts[0].subplots()
        for place, (row, line) in enumerate(reversed(bars)):
            found, wanted = line["ratio"], line["wanted"]
            met = wanted is None or found["median"] >= wanted
            axes.barh(place, found["median"], color="#3b7dd8" if met else "#d9822b", height=0.62,
                      xerr=[[found["median"] - found["min"]], [found["max"] - found["median"]]],
                      error_kw=dict(ecolor="#222", capsize=2.5, lw=1))
            if wanted is not None:
                axes.plot([wanted] * 2, [place - 0.42, place + 0.42], color="#111", lw=2)
        axes.set_yticks(range(len(bars)), [label(row, line) for row, line in reversed(bars)], fontsize=7.5)
        axes.axvline(1, color="#999", lw=0.8, ls=":")
        axes.set_xlim(left=0)
        axes.set_xlabel("ratio to the peer or to memory's speed: median, minimum to maximum (black mark: wanted; orange: missed)", fontsize=8)
        machine = data["run"]["machine"]
        axes.set_title(f"{machine['cpu']}, {data['run']['threads']} threads, {data['run']['date'][:10]}", fontsize=9)
    if sweeps:
        columns = min(2, len(sweeps))
        grid = parts[1].subplots((len(sweeps) + 1) // 2, columns, squeeze=False).flat
        for row, axes in zip(sweeps, grid):
            for name, points in row["series"].items():
                points = sorted(points, key=lambda p: p["x"])
                x = [p["x"] for p in points]
                middle = [1e3 / p["median"] for p in points]
                low = [m - 1e3 / p["max"] for m, p in zip(middle, points)]
                high = [1e3 / p["min"] - m for m, p in zip(middle, points)]
                axes.errorbar(x, middle, [low, high], marker="o", ms=4, capsize=2.5, label=name)
            axes.set_title(row["title"], fontsize=9)
            axes.set_xlabel(row["axis"], fontsize=8)
            axes.set_ylabel("ms a token", fontsize=8)
            axes.set_ylim(bottom=0)
            axes.legend(fontsize=8)
        for axes in list(grid):
            axes.remove()
    shape.savefig(path, dpi=130)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data = json.loads(pathlib.Path(sys.argv[1]).read_text())
    folder = pathlib.Path(sys.argv[2])
    part = markdown(data)
    machine = data["run"]["machine"]
    merge(folder / "performance.md", part, *markers(machine))
    plot(data, folder / f"performance-{slug(machine)}.png")
    print(part)


if __name__ == "__main__":
    main()
