"""The page of serving.py's results: a table of ratios, and one of every figure with minimum, median and maximum.

python3 Benchmarks/serving_report.py RESULTS.json [PAGE.md]      # prints it; with a page, also writes it there
"""

import json
import pathlib
import sys

import report
from run import spread

BEGIN, END = "<!-- serving: begin (written by Benchmarks/serving.py) -->", "<!-- serving: end -->"
WALET, PEER = "Walet", "llama-server"


def line(subject, base, rounds, *, wanted=None, unit="ms", is_better_high=False, base_name=None):
    """A ratio that is better where it is larger. subject, base: functions of a round's figures."""
    pairs = [(subject(found), base(found)) for found in rounds]
    ratios = [a / b if is_better_high else b / a for a, b in pairs]
    return {
        "what": "value",
        "wanted": wanted,
        "unit": unit,
        "base_unit": unit,
        "ratio": spread(ratios),
        "subject_value": spread([a for a, _ in pairs]),
        "base_value": spread([b for _, b in pairs]),
        "base": base_name or PEER,
    }


def milliseconds(server, key, times=1):
    return lambda found: found[server][key] * 1e3 * times


def load_rows(rounds):
    rows = []
    for clients in rounds[0] if rounds else []:
        found = [figures[clients] for figures in rounds]
        many = int(clients) > 1
        lines = [
            {
                "subject": "tokens a second, all clients",
                **line(
                    lambda f: f[WALET]["tokens_per_second"],
                    lambda f: f[PEER]["tokens_per_second"],
                    found,
                    wanted=2.0 if many else None,
                    unit="tokens/s",
                    is_better_high=True,
                ),
            }
        ]
        for key, title in ("ttft", "first token"), ("per_token", "time a token"), ("gap", "wait between pieces"):
            for p in ("p50", "p99"):
                wanted = 1.0 if many and key == "ttft" else None
                lines.append(
                    {
                        "subject": f"{title}, {p}",
                        **line(
                            milliseconds(WALET, f"{key}_{p}"), milliseconds(PEER, f"{key}_{p}"), found, wanted=wanted
                        ),
                    }
                )
        rows.append({"title": f"{clients} client{'s' * many}", "lines": lines})
    return rows


def prompt_rows(rounds):
    rows = []
    for tokens in rounds[0] if rounds else []:
        found = [figures[tokens] for figures in rounds]
        lines = [
            {
                "subject": "repeated, first token",
                **line(
                    milliseconds(WALET, "warm"),
                    milliseconds(WALET, "step", 4),
                    found,
                    wanted=1.0,
                    base_name="4 decode steps",
                ),
            },
            {
                "subject": "repeated, first token",
                **line(milliseconds(WALET, "warm"), milliseconds(PEER, "warm"), found, wanted=1.0),
            },
            {
                "subject": "after a restart, from the disk",
                **line(milliseconds(WALET, "disk"), milliseconds(WALET, "cold"), found, wanted=10.0, base_name="cold"),
            },
            {"subject": "never seen (cold)", **line(milliseconds(WALET, "cold"), milliseconds(PEER, "cold"), found)},
        ]
        rows.append({"title": f"a prompt of {int(tokens):,} tokens", "lines": lines})
    return rows


def notes(data):
    out = []
    for clients in data["load"][0] if data["load"] else []:
        found = [figures[clients] for figures in data["load"]]
        parts = []
        for name in (WALET, PEER):
            some = [figures[name] for figures in found]
            parts.append(
                f"{name}: {some[0]['requests']} requests, {some[0]['prompt']:,} tokens of prompt "
                f"({some[0]['cached']:,} cached), "
                f"{some[0]['generated']:,} generated, resident {max(f['memory'] for f in some) / 1e9:.2f} GB, client "
                f"{max(f['client_cpus'] for f in some):.2f} CPUs, other work at most "
                f"{max(f.get('other_cpus', 0) + f.get('stolen_cpus', 0) for f in some):.2f} CPUs"
            )
        out.append(f"- {clients} client{'s' * (int(clients) > 1)}, each round: {'; '.join(parts)}.")
    for tokens in data["prompt"][0] if data["prompt"] else []:
        found = [figures[tokens] for figures in data["prompt"]]
        some = [figures[WALET] for figures in found]
        out.append(
            f"- {int(tokens):,} tokens: cached when repeated {min(f['warm_cached'] for f in some):,} (llama-server "
            f"{min(f[PEER]['warm_cached'] for f in found):,}), from the disk "
            f"{min(f['disk_cached'] for f in some):,}, of "
            f"{max(f['disk_bytes'] for f in some) / 1e6:.0f} MB that the kernel had been told to forget."
        )
    return out


def markdown(data):
    run = data["run"]
    machine = run["machine"]
    out = [
        BEGIN,
        "",
        "## Serving",
        "",
        f"Machine: {machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB, {machine['system']}; "
        f"{machine['instruction_sets']}. {run['threads']} threads, {run['rounds']} rounds, {run['date']}, load "
        f"{run['load_at_start']:.2f} at the start.",
        "",
    ]
    out += [f"- {name}: {version}" for name, version in run["versions"].items()]
    out += [
        "",
        "SmolLM2-135M (Q4_1) behind `walet serve` and llama-server, alternately; streaming chats of about 200 tokens "
        f"of prompt, no two alike, and {run['tokens']} tokens of answer. Ratios are median (minimum-maximum) of the "
        "rounds; above 1 Walet is "
        "better. A latency's ratio is taken from the percentiles of a round.",
        "",
        "| work | measured | against | ratio | wanted | met |",
        "|---|---|---|---|---|---|",
    ]
    rows = load_rows(data["load"]) + prompt_rows(data["prompt"])
    for row in rows:
        out += [
            "| " + " | ".join(report.cells(row, line, number == 0, "")) + " |"
            for number, line in enumerate(row["lines"])
        ]
    out += [
        "",
        "### Every figure: minimum, median, maximum",
        "",
        "| work | figure | Walet | against | |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        for number, line in enumerate(row["lines"]):
            out.append(
                f"| {row['title'] if number == 0 else ''} | {line['subject']}, {line['unit']} | "
                f"{three(line['subject_value'])} | "
                f"{line['base']} | {three(line['base_value'])} |"
            )
    return "\n".join(out + ["", *notes(data), "", END])


def three(values):
    return ", ".join(f"{values[key]:,.1f}" for key in ("min", "median", "max"))


def write(path, page):
    report.merge(path, page, BEGIN, END)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    page = markdown(json.loads(pathlib.Path(sys.argv[1]).read_text()))
    if len(sys.argv) == 3:
        write(pathlib.Path(sys.argv[2]), page)
    print(page)


if __name__ == "__main__":
    main()
