"""Runs Walet and its peers alternately and prints ratios; see Benchmarks/README.md.

    python3 Benchmarks/run.py                    # every row, three rounds; writes this machine's part of docs/performance.md
    python3 Benchmarks/run.py --quick            # SmolLM2 only, few tokens, nothing written to docs
    python3 Benchmarks/run.py --rows 'decode-*'  # some rows; the table keeps the others' last results
    python3 Benchmarks/run.py --list
"""
import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import rows as table
import setup_peers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = setup_peers.WORK
PYTHON = setup_peers.VENV / "bin" / "python"


def say(*words):
    print(*words, file=sys.stderr, flush=True)


# The machine


def cpu_model():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        names = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    except OSError:
        return os.uname().machine
    detail = f" (family {names['cpu family']}, model {names['model']})" if "cpu family" in names else ""
    return names.get("model name", os.uname().machine) + detail


def instruction_sets():
    try:
        flags = set(re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)[1].split())
    except (OSError, TypeError):
        return ""
    names = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8"]
    return ", ".join(name for name in names if name in flags)


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def machine():
    return {"cpu": cpu_model(), "cpus": os.cpu_count(), "instruction_sets": instruction_sets(),
            "memory_gib": round(memory_bytes() / 2**30, 1), "system": f"{os.uname().sysname} {os.uname().release}"}


def busy_seconds():
    """CPU seconds that anything on this machine has used, and those that the hypervisor took away."""
    try:
        fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, irq, soft, steal = (int(field) / os.sysconf("SC_CLK_TCK") for field in fields[:8])
    return user + nice + system + irq + soft, steal


class Watch:
    """How many CPUs other programs used, and the hypervisor took, while a program ran: what spoils a figure."""

    def __init__(self):
        self.start, self.busy, self.own = time.monotonic(), busy_seconds(), os.times()

    def stop(self):
        seconds, busy, own = time.monotonic() - self.start, busy_seconds(), os.times()
        if not busy or not self.busy:
            return {"seconds": round(seconds, 2)}
        ours = sum(own[:4]) - sum(self.own[:4])  # this process and its children, user and system
        other = max(0, busy[0] - self.busy[0] - ours) / seconds
        return {"seconds": round(seconds, 2), "other_cpus": round(other, 2),
                "stolen_cpus": round((busy[1] - self.busy[1]) / seconds, 2)}


def output_of(command, default=""):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() if done.returncode == 0 else default


def versions(walet):
    found = {"walet": output_of([walet, "--version"], "?").splitlines()[0]}
    git = ["git", "-C", pathlib.Path(walet).resolve().parent]
    commit = output_of([*git, "rev-parse", "--short", "HEAD"])
    if commit:
        found["walet"] += f" ({commit}{', changed' if output_of([*git, 'status', '--porcelain', '-uno', ':/']) else ''})"
    for name, peer in setup_peers.PEERS.items():
        stamp = WORK / "peers" / name / "built.json"
        built = json.loads(stamp.read_text()) if stamp.exists() else {}
        found[name] = f"{peer['package']} {built['version']}, {built['compiler']}" if built else "not built"
    return found


# Programs and models


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.models = {"smollm2": ROOT / ".models" / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"}
        self.suffix = "-small" if arguments.small else ""
        folder = WORK / "models"
        self.models["moonlight"] = folder / f"moonlight{self.suffix}" / "model.gguf"
        self.models["moonlight-int4"] = folder / f"moonlight-int4{self.suffix}"
        # What ik_llama.cpp computed of long contexts, which takes minutes.
        self.models["moonlight cache"] = WORK / "caches" / f"ik_llama.cpp-moonlight{self.suffix}"
        self.programs = {"walet": arguments.walet, "memory_speed": WORK / "memory_speed"}
        for peer in setup_peers.PEERS:
            for tool in setup_peers.tools_of(peer):
                self.programs[f"{peer}/{tool}"] = WORK / "peers" / peer / "build" / "bin" / tool

    def set_up(self, rows):
        """Makes what the rows need and is not there."""
        contestants = [c for row in rows for c in row.contestants]
        setup_peers.make_venv()
        for peer in setup_peers.PEERS:
            if not self.arguments.no_peers and any(c.command[0].startswith(peer + "/") for c in contestants):
                try:
                    setup_peers.build(peer, self.arguments.jobs)
                except (subprocess.CalledProcessError, OSError) as error:
                    say(f"run.py: {peer} did not build, its columns stay empty: {error}")
        source, program = HERE / "memory_speed.c", self.programs["memory_speed"]
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            program.parent.mkdir(parents=True, exist_ok=True)
            setup_peers.run(["cc", "-O3", "-march=native", "-pthread", "-o", program, source])
        if not pathlib.Path(self.arguments.walet).exists():
            sys.exit(f"run.py: no {self.arguments.walet}; run 'make build' first, or say --walet PATH")
        for model in dict.fromkeys(c.model for c in contestants if c.model):
            self.make(model)
        for command in dict.fromkeys(tuple(c.command) for c in contestants if c.command[0].endswith("/ik_depth")):
            self.fill_cache(command)

    def make(self, model):
        if (top := re.fullmatch(r"(moonlight-int4)-top(\d+)", model)):
            self.make(top[1])
            self.models[model] = self.with_experts(self.models[top[1]], int(top[2]))
            return
        path = self.models[model]
        if path.exists():
            return
        if model == "smollm2":
            sys.exit(f"run.py: no {path.relative_to(ROOT)}; run 'make data' first")
        small = ["--small"] if self.arguments.small else []
        setup_peers.run([PYTHON, HERE / "make_random_model.py", "int4" if model.endswith("int4") else "gguf", path,
                         *small], stdout=sys.stderr)

    def fill_cache(self, command):
        """The caches that ik_depth decodes from, computed where they are not there."""
        program, _, model, threads, folder, *contexts = self.fill(command)
        if not pathlib.Path(program).exists() or all((pathlib.Path(folder) / n).exists() for n in contexts):
            return
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        say("ik_llama.cpp computes long contexts, once: twenty minutes or more")
        setup_peers.run([program, "fill", model, threads, folder, *contexts], stdout=sys.stderr)

    def with_experts(self, folder, count):
        """The folder with another number of active experts: links to its shards, its own config.json."""
        variant = folder.with_name(f"{folder.name}-top{count}")
        variant.mkdir(exist_ok=True)
        for file in folder.iterdir():
            link = variant / file.name
            if file.name not in ("config.json", "walet-benchmark.json") and not link.exists():
                link.hardlink_to(file)
        config = json.loads((folder / "config.json").read_text())
        config["num_experts_per_tok"] = count
        (variant / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        return variant

    def note(self, model):
        path = self.models[model]
        file = path / "walet-benchmark.json" if path.is_dir() else path.parent / "model.json"
        return json.loads(file.read_text()) if file.exists() else {}

    # One measurement

    def fill(self, command):
        program, *rest = command
        filled = [self.programs[program]]
        for part in rest:
            model = re.fullmatch(r"\{(.*)\}", part) if isinstance(part, str) else None
            filled.append(self.models[model[1]] if model else part)
        return [str(part) for part in filled]

    def shown(self, command):
        """The command as documents show it: no path of this machine."""
        words = []
        for part in command:
            model = re.fullmatch(r"\{(.*)\}", part) if isinstance(part, str) else None
            if model:
                path = self.models[model[1]]
                part = f"{path.parent.name}/{path.name}" if path.is_file() else path.name
            words.append(str(part))
        return " ".join(words)

    def warm(self, model):
        """Reads the model's files, so that they are in the page cache."""
        path = self.models[model]
        buffer = bytearray(1 << 24)
        for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
            with open(file, "rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass

    def measure(self, contestant, outputs=None):
        """One figure; `outputs` holds what programs printed in this round, as one run may give several figures."""
        command = self.fill(contestant.command)
        record = {"name": contestant.name, "command": self.shown(contestant.command)}
        peer = contestant.command[0].partition("/")[0]
        if peer in setup_peers.PEERS and (self.arguments.no_peers or not pathlib.Path(command[0]).exists()):
            return record | {"error": f"{peer} is {'left out' if self.arguments.no_peers else 'not built'}", "seconds": 0}
        if contestant.model:
            self.warm(contestant.model)
        if contestant.x is not None:
            record["x"] = contestant.x
        watch = Watch()
        try:
            outputs = {} if outputs is None else outputs
            done = outputs.get(tuple(command)) or subprocess.run(
                command, capture_output=True, text=True, errors="replace", cwd=ROOT, timeout=self.arguments.timeout)
            outputs[tuple(command)] = done
            if done.returncode:
                raise ValueError(f"exit status {done.returncode}: {complaint(done.stderr)}")
            record.update(parse(contestant.value, done.stdout, done.stderr))
            if contestant.reads_cache:
                record["bytes_per_token"] += record["walet"].get("kv_bytes", 0)
        except subprocess.TimeoutExpired:
            record["error"] = f"took longer than {self.arguments.timeout} s"
        except (ValueError, KeyError, OSError) as error:
            record["error"] = str(error)
        return record | watch.stop()

    def run_row(self, row):
        """All rounds of a row. Each round begins with another contestant, so that none always follows the same one."""
        rounds = []
        broken = {}
        for number in range(self.arguments.rounds):
            shift = number % len(row.contestants)
            order = row.contestants[shift:] + row.contestants[:shift]
            records = []
            outputs = {}
            for contestant in order:
                key = (contestant.name, contestant.x)
                if key in broken:
                    continue
                record = self.measure(contestant, outputs)
                at = f" at {contestant.x:g}" if contestant.x is not None else ""
                figure = f"{record['value']:.2f} {record['unit']}" if "value" in record else record["error"]
                noise = record.get("other_cpus", 0) + record.get("stolen_cpus", 0)
                busy = f", other work {noise:.1f} CPUs" if noise > 0.1 else ""
                say(f"  round {number + 1}  {contestant.name + at:24} {figure}   ({record['seconds']} s{busy})  {record['command']}")
                if "error" in record:
                    broken[key] = record["error"]
                records.append(record)
            rounds.append(records)
        return rounds


def complaint(text):
    """The line of a program's errors that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no message")[:200]


def parse(kind, output, errors):
    """A measurement's figure from what the program printed."""
    if kind == "llama-bench":
        # ik_llama.cpp prints other lines between the JSON's: take the figure, not the document.
        found = re.findall(r'"avg_ts":\s*([0-9.eE+]+)', output)
        if len(found) != 1:
            raise ValueError(f"llama-bench printed {len(found)} results, expected 1")
        return {"value": float(found[0]), "unit": "tokens/s"}
    if kind == "batched":
        found = re.findall(r'^\{.*"speed_tg".*\}$', output + "\n" + errors, re.M)
        if len(found) != 1:
            raise ValueError(f"llama-batched-bench printed {len(found)} results, expected 1")
        return {"value": float(json.loads(found[0])["speed_tg"]), "unit": "tokens/s"}
    if kind.startswith("depth:"):
        steps = [json.loads(line) for line in re.findall(r'^\{.*"speed_tg".*\}$', output + "\n" + errors, re.M)]
        found = [step["speed_tg"] for step in steps if step["n_kv"] == int(kind[6:])]
        if len(found) != 1:
            raise ValueError(f"ik_depth printed {len(found)} results at {kind[6:]} tokens, expected 1")
        return {"value": float(found[0]), "unit": "tokens/s"}
    answer = json.loads(output)
    if kind == "memory":
        return {"value": answer["median"], "unit": "GB/s", "memory": answer}
    return {"value": answer[kind], "unit": "tokens/s", "walet": answer,
            "bytes_per_token": answer["bytes_per_token"]}


# Figures


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "rounds": len(values)}


def values_of(rounds, name, x=None):
    return [r["value"] for records in rounds for r in records if r["name"] == name and r.get("x") == x and "value" in r]


def gigabytes(record):
    """GB/s of a measurement: memory's own figure, or tokens a second times the bytes that each reads."""
    if record["unit"] == "GB/s":
        return record["value"]
    return record["value"] * record["bytes_per_token"] / 1e9


def ratios(rounds, bar):
    """The ratio of each round in which both ran."""
    result = []
    for records in rounds:
        found = {r["name"]: r for r in records if "value" in r and r.get("x") == bar.x}
        if bar.subject in found and bar.base in found:
            take = gigabytes if bar.what == "bytes" else lambda r: r["value"]
            result.append(take(found[bar.subject]) / take(found[bar.base]))
    return result


def error_of(rounds, *names):
    for records in rounds:
        for record in records:
            if record["name"] in names and "error" in record:
                return f"{record['name']}: {record['error']}"
    return "not measured"


def notes_of(row, rounds, bench, speed):
    """Sentences on bytes, attention's roofline and memory held, from Walet's own answers and the model's shape.

    speed: how fast memory is read, GB/s.
    """
    walet = [r for records in rounds for r in records if "walet" in r]
    if not walet or (row.axis and row.id != "context"):
        return []
    notes = []
    first = walet[0]
    model = next((c.model for c in row.contestants if c.name == first["name"]), None)
    note = bench.note(model) if model else {}
    stated, counted = first["walet"]["bytes_per_token"], note.get("bytes_read_per_token")
    if counted and abs(stated / counted - 1) > 0.01:
        notes.append(f"Walet says {stated / 1e6:,.0f} MB are read a token, the model's writer counts {counted / 1e6:,.0f} MB.")
    peak = max(r["walet"]["peak_resident_bytes"] for r in walet)
    load = statistics.median(r["walet"]["load_seconds"] for r in walet)
    notes.append(f"{stated / 1e6:,.0f} MB of weights a token; peak resident {peak / 1e9:.2f} GB; load {load:.2f} s.")
    if row.id == "context" and note:
        shape = note["shape"]
        values = note["kv_values_per_token_and_layer"]
        published = shape["layers"] * values * 2
        for context in sorted({r["x"] for r in walet if r["x"] >= 8 * 100}):
            operations = 2 * shape["layers"] * shape["heads"] * context * (values + shape["latent"])
            ideal = (stated + published * context) / speed / 1e9
            found = statistics.median(values_of(rounds, "Walet", context))
            notes.append(
                f"At {context:,} tokens attention reads {published * context / 1e6:,.0f} MB of latents in 16 bits and does "
                f"{operations / 1e9:.1f}e9 operations a token; reading weights and latents at memory's speed takes "
                f"{ideal * 1e3:.0f} ms, Walet took {1e3 / found:.0f} ms.")
        last = max(walet, key=lambda r: r["x"])
        pages = -(-(last["x"] + 16) // 64)
        notes.append(f"KV cache: {last['walet']['kv_bytes'] / (64 * pages):,.0f} bytes a token; layers x {values} x 2 is "
                     f"{published:,}.")
    return notes


def evaluate(row, rounds, bench, speed):
    lines = []
    for bar in row.bars:
        found = ratios(rounds, bar)
        line = {"subject": bar.subject, "base": bar.base, "what": bar.what, "wanted": bar.at_least}
        if found:
            line["ratio"] = spread(found)
            line["x"] = bar.x
            line["subject_value"] = spread(values_of(rounds, bar.subject, bar.x))
            line["base_value"] = spread(values_of(rounds, bar.base, bar.x))
            unit = {r["name"]: r["unit"] for records in rounds for r in records if "unit" in r}
            line["unit"], line["base_unit"] = unit[bar.subject], unit[bar.base]
            if bar.what == "bytes":
                for key, name in ("subject_gb", bar.subject), ("base_gb", bar.base):
                    line[key] = spread([gigabytes(r) for records in rounds for r in records
                                        if r["name"] == name and "value" in r])
        else:
            line["error"] = error_of(rounds, bar.subject, bar.base)
        lines.append(line)
    series = {}
    if row.axis:
        for contestant in row.contestants:
            found = values_of(rounds, contestant.name, contestant.x)
            if found:
                series.setdefault(contestant.name, []).append({"x": contestant.x, **spread(found)})
    commands = list(dict.fromkeys(r["command"] for records in rounds for r in records))
    return {"id": row.id, "title": row.title, "axis": row.axis, "lines": lines, "series": series, "commands": commands,
            "notes": notes_of(row, rounds, bench, speed),
            **{key: max((r.get(key, 0) for records in rounds for r in records), default=0)
               for key in ("other_cpus", "stolen_cpus")}}


# The command


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="SmolLM2 only, few tokens; a check of the harness")
    parser.add_argument("--small", action="store_true", help="a small model in place of Moonlight's shape; a check too")
    parser.add_argument("--rows", nargs="*", metavar="PATTERN", help="rows to run, as file name patterns")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parallel compilations of the peers")
    parser.add_argument("--no-peers", action="store_true", help="measure Walet and memory alone, build no peer")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one measurement")
    parser.add_argument("--walet", default=str(ROOT / ".build" / "release" / "walet"), help="the program to measure")
    parser.add_argument("--output", type=pathlib.Path, help="folder of performance.md and the plots")
    parser.add_argument("--list", action="store_true", help="print the rows' names")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.threads < 1:
        parser.error("--rounds and --threads must be 1 or more")
    return parser, arguments


def choose(parser, arguments):
    rows = table.rows(arguments.threads, quick=arguments.quick, small=arguments.small)
    if arguments.quick and not arguments.small:
        rows = [row for row in rows if all(c.model in (None, "smollm2") for c in row.contestants)]
    if arguments.rows:
        for pattern in arguments.rows:
            if not fnmatch.filter([row.id for row in rows], pattern):
                parser.error(f"no row '{pattern}'; --list prints them")
        rows = [row for row in rows if any(fnmatch.fnmatch(row.id, pattern) for pattern in arguments.rows)]
    return rows


def main():
    parser, arguments = parse_arguments()
    rows = choose(parser, arguments)
    if arguments.list:
        for row in rows:
            print(f"{row.id:20} {row.title}")
        return
    bench = Bench(arguments)
    bench.set_up(rows)
    check = arguments.quick or arguments.small
    results = WORK / "results"
    results.mkdir(parents=True, exist_ok=True)
    output = arguments.output or (WORK / "check" if check else ROOT / "docs")
    output.mkdir(parents=True, exist_ok=True)

    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"run.py: other work keeps this machine busy (load {load:.2f}); figures will be off")
    run = {"date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"), "machine": machine(),
           "versions": versions(arguments.walet), "threads": arguments.threads, "rounds": arguments.rounds,
           "load_at_start": load}
    say(f"{run['machine']['cpu']}, {run['machine']['cpus']} CPUs")
    limits = {}
    for threads in dict.fromkeys([1, arguments.threads]):
        # Some CPUs' own prefetch leaves speed on the table: the limit is the best of both.
        best = max((bench.measure(table.Contestant("memory", [*table.memory(threads).command, "--prefetch", p], "memory"))
                    for p in (0, 2048)), key=lambda r: r.get("value", 0))
        if "error" in best:
            sys.exit(f"run.py: memory_speed: {best['error']}")
        limits[threads] = best["memory"]
        say(f"memory read, {threads} thread{'s' * (threads > 1)}: {best['value']:.1f} GB/s  {best['command']}")
    run["memory"] = limits
    for row in rows:
        for contestant in row.contestants:
            if contestant.name == "memory":
                best = limits[contestant.command[contestant.command.index("--threads") + 1]]
                contestant.command += ["--prefetch", best["prefetch"]]

    # The last result of each row that ran on this CPU stays in the table.
    kept = results / f"latest{'-quick' * arguments.quick}{'-small' * arguments.small}.json"
    latest = json.loads(kept.read_text()) if kept.exists() else {}
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    raw = {"run": run, "rows": {}}
    for row in rows:
        say(f"{row.id}: {row.title}")
        rounds = bench.run_row(row)
        raw["rows"][row.id] = rounds
        latest[row.id] = {**evaluate(row, rounds, bench, limits[arguments.threads]["median"]), "run": run}
        (results / f"{stamp}.json").write_text(json.dumps(raw, indent=1) + "\n")
        kept.write_text(json.dumps(latest, indent=1) + "\n")
    every = [row.id for row in table.rows(arguments.threads, quick=arguments.quick, small=arguments.small)]
    same = [latest[id] for id in every if id in latest and latest[id]["run"]["machine"]["cpu"] == run["machine"]["cpu"]]
    (WORK / "table.json").write_text(json.dumps({"run": run, "rows": same}, indent=1) + "\n")
    subprocess.run([str(PYTHON), str(HERE / "report.py"), str(WORK / "table.json"), str(output)], check=True)
    say(f"raw results: {os.path.relpath(results / f'{stamp}.json', ROOT)}")


if __name__ == "__main__":
    main()
