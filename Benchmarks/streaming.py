"""Models larger than their memory: walet with --memory beside the disk's own speed and llama.cpp under the same limit.

    python3 Benchmarks/streaming.py --rounds 3             # all rows, about ten minutes; docs/streaming.md gets the table
    python3 Benchmarks/streaming.py --rounds 1 --append    # one round more, for a machine that is idle a minute at a time
    python3 Benchmarks/streaming.py --report               # the table of what was measured last
    python3 Benchmarks/streaming.py --k2                   # Kimi K2's shape in 8 GiB: makes 23 GB, runs, compares, says

In a round every program runs once, and the disk is measured before each: random direct reads of blocks, several sizes and
numbers of threads, of which the fastest counts. Every program runs in a memory cgroup of its own (version 1 or 2, needs
root) of the row's limit and 300 MB, and its file's pages are dropped from the page cache before: what the kernel counts
against the cgroup includes page cache, so that nobody is served by memory outside the limit. Needs `make build`, the
models and peers of run.py, and a C compiler.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = pathlib.Path(os.environ.get("WALET_BENCH_DIR", ROOT / "Benchmarks" / ".bench"))
PAGE = ROOT / "docs" / "streaming.md"
RESULTS = BENCH / "results" / "streaming.json"
OVERHEAD = 300_000_000
GIB = 1 << 30
BLOCKS = ["1048576", "4", "1048576", "8", "4194304", "4"]

# How a model is made that run.py does not make.
MODELS = {
    "moonlight-int4-all": ["--all-int4"],
    "k2-shape": ["--k2", "--layers", "3", "--vocabulary", "65536"],
}
# name, model, limit in GiB, decode steps, whether llama.cpp runs too
ROWS = [
    ("INT4 safetensors", "moonlight-int4", 3.0, 16, False),
    ("INT4 safetensors", "moonlight-int4", 2.5, 16, False),
    ("all INT4 safetensors", "moonlight-int4-all", 3.0, 16, False),
    ("all INT4 safetensors", "moonlight-int4-all", 1.5, 16, False),
    ("GGUF Q4_0", "moonlight/model.gguf", 3.0, 16, True),
    ("GGUF Q4_0", "moonlight/model.gguf", 1.5, 16, True),
]


class Cgroup:
    """A memory cgroup with a limit, for one program."""

    def __init__(self, limit):
        name = f"walet-streaming-{os.getpid()}"
        first = pathlib.Path("/sys/fs/cgroup/memory")
        self.version = 1 if (first / "memory.limit_in_bytes").exists() else 2
        self.path = (first if self.version == 1 else pathlib.Path("/sys/fs/cgroup")) / name
        self.path.mkdir()
        (self.path / ("memory.limit_in_bytes" if self.version == 1 else "memory.max")).write_text(str(limit))

    def run(self, command, timeout):
        script = f'echo $$ > {self.path}/cgroup.procs && exec "$@"'
        return subprocess.run(["sh", "-c", script, "sh", *command], capture_output=True, text=True, timeout=timeout)

    def peak(self):
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        path = self.path / name
        return int(path.read_text()) if path.exists() else None

    def close(self):
        for _ in range(50):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)


def make(model):
    path = BENCH / "models" / model
    if model in MODELS and not path.exists():
        program = ROOT / "Benchmarks" / "make_random_model.py"
        subprocess.run([sys.executable, program, "int4", path, *MODELS[model]], check=True, stdout=sys.stderr)


def files_of(model):
    path = BENCH / "models" / model
    return sorted(path.glob("*.safetensors")) if path.is_dir() else [path]


def forget(model):
    """Drops a model's pages from the page cache; another program's mapped ones stay."""
    for path in files_of(model):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def build_probe():
    probe = BENCH / "direct_read"
    subprocess.run(["cc", "-O2", "-pthread", ROOT / "Benchmarks" / "direct_read.c", "-o", probe], check=True)
    return probe


def disk_speed(probe, model):
    path = max(files_of(model), key=lambda path: path.stat().st_size)
    output = subprocess.run([probe, path, "0.5", *BLOCKS], check=True, capture_output=True, text=True).stdout
    return max(entry["gb_per_second"] for entry in json.loads(output))


def in_cgroup(limit, command, timeout=240):
    group = Cgroup(limit)
    try:
        done = group.run([str(word) for word in command], timeout)
        return done, group.peak()
    finally:
        group.close()


def measure_walet(arguments, model, limit, steps):
    command = [arguments.walet, "bench", BENCH / "models" / model, "--memory", str(limit), "--prompt", "1",
               "--generate", str(steps), "--json"]
    done, peak = in_cgroup(limit + OVERHEAD, command)
    if done.returncode != 0:
        sys.exit(f"walet: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    result["cgroup_peak_bytes"] = peak
    return result


def measure_llama(model, limit, steps, threads):
    program = BENCH / "peers" / "llama.cpp" / "build" / "bin" / "llama-bench"
    command = [program, "-m", BENCH / "models" / model, "-p", "0", "-n", str(steps), "-r", "1", "-t", str(threads),
               "-lm", "mmap", "--repack", "0", "--no-warmup", "-o", "json"]
    done, peak = in_cgroup(limit + OVERHEAD, command, timeout=600)
    if done.returncode != 0:
        return {"error": (done.stderr or f"exit status {done.returncode}").strip().splitlines()[-1][:200]}
    return {"decode_tokens_per_second": json.loads(done.stdout)[0]["avg_ts"], "cgroup_peak_bytes": peak}


def tokens_are_equal(arguments, model, limit):
    """Log probabilities of a text with and without a limit, to the last bit."""
    ids = ",".join(str(7 + 613 * index % 65_000) for index in range(48))
    outputs = []
    for extra in [[], ["--memory", str(limit)]]:
        command = [arguments.walet, "score", BENCH / "models" / model, "--tokens", ids, "--top", "3", "--json", *extra]
        outputs.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return outputs[0] == outputs[1]


def one_round(arguments, probe, number):
    rows = []
    for name, model, gib, steps, has_peer in ROWS:
        if arguments.rows and not re.search(arguments.rows, f"{model} {gib}"):
            continue
        make(model)
        limit = int(gib * GIB)
        row = {"name": name, "model": model, "gib": gib}
        contestants = ["walet", "llama.cpp"] if has_peer else ["walet"]
        if number % 2:
            contestants.reverse()
        for contestant in contestants:
            forget(model)
            if contestant == "walet":
                before = disk_speed(probe, model)
                row["walet"] = measure_walet(arguments, model, limit, steps)
                row["disk"] = max(before, disk_speed(probe, model))
            else:
                row["llama.cpp"] = measure_llama(model, limit, arguments.peer_steps, arguments.threads)
        rows.append(row)
        print(json.dumps({"round": number, **summary(row)}), flush=True)
    return rows


def summary(row):
    walet = row["walet"]
    result = {
        "model": row["model"], "gib": row["gib"], "decode": walet["decode_tokens_per_second"],
        "hit_rate": walet["decode_experts"]["hit_rate"],
        "read": walet["decode_experts"]["read_gb_per_second"], "disk": row["disk"],
        "peak_over": walet["peak_resident_bytes"] - int(row["gib"] * GIB) - walet["kv_bytes"],
        "cgroup_peak": walet["cgroup_peak_bytes"], "planned_error": walet["planned"]["error"],
    }
    if "llama.cpp" in row:
        result["llama.cpp"] = row["llama.cpp"].get("decode_tokens_per_second", row["llama.cpp"].get("error"))
    return result


def k2_shape(arguments, probe):
    """A model as wide as Kimi K2, three layers of it, in a cgroup of 8 GiB that holds everything."""
    model = "k2-shape"
    make(model)
    forget(model)
    command = [arguments.walet, "bench", BENCH / "models" / model, "--memory", "7.6G", "--prompt", "32", "--generate",
               "32", "--json"]
    done, peak = in_cgroup(8 * GIB, command)
    if done.returncode != 0:
        sys.exit(f"walet: {done.stderr.strip() or done.returncode}")
    result = json.loads(done.stdout)
    print(json.dumps({
        "decode": result["decode_tokens_per_second"], "peak_resident": result["peak_resident_bytes"],
        "cgroup_peak": peak, "read": result["decode_experts"]["read_gb_per_second"], "disk": disk_speed(probe, model),
        "planned_error": result["planned"]["error"], "equal": tokens_are_equal(arguments, model, int(7.6 * GIB)),
    }))


def spread(values, form="{:.2f}"):
    values = sorted(values)
    return " / ".join(form.format(value) for value in (values[0], statistics.median(values), values[-1]))


def report(results):
    rounds = results["rounds"]
    counts = collections.Counter((row["model"], row["gib"]) for rows in rounds for row in rows)
    lines = [
        f"{results['machine']}, walet {results['version']}, {min(counts.values())} rounds of each row; smallest / median / "
        "largest.", "",
        "| model, `--memory` | decode, tokens/s | hits | disk while reading, GB/s | of direct reads | peak resident beyond "
        "limit and KV, MB | measured against planned | llama.cpp, tokens/s | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, model, gib, _, has_peer in ROWS:
        rows = [row for rows in rounds for row in rows if row["model"] == model and row["gib"] == gib]
        if not rows:
            continue
        parts = [summary(row) for row in rows]
        cells = [
            f"{name}, {gib:g}G", spread([part["decode"] for part in parts]),
            spread([100 * part["hit_rate"] for part in parts], "{:.1f}%"), spread([part["read"] for part in parts]),
            spread([100 * part["read"] / part["disk"] for part in parts], "{:.0f}%"),
            spread([part["peak_over"] / 1e6 for part in parts], "{:.0f}"),
            spread([100 * part["planned_error"] for part in parts], "{:+.1f}%"),
        ]
        peers = [part for part in parts if isinstance(part.get("llama.cpp"), float)]
        if peers:
            cells += [spread([part["llama.cpp"] for part in peers]),
                      spread([part["decode"] / part["llama.cpp"] for part in peers], "{:.1f}")]
        else:
            cells += [parts[0].get("llama.cpp") or "does not read this format", "-"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Tokens' log probabilities with the limit and without, compared to the last bit: "
              + ", ".join(f"{key} {'equal' if value else 'NOT EQUAL'}" for key, value in results.get("equal", {}).items())
              + "."]
    return "\n".join(lines)


def write_page(text):
    begin, end = "<!-- streaming: begin -->", "<!-- streaming: end -->"
    page = PAGE.read_text() if PAGE.exists() else f"{begin}\n{end}\n"
    before, rest = page.split(begin)
    PAGE.write_text(before + begin + "\n\n" + text + "\n\n" + end + rest.split(end)[1])


def cpu():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    names = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    return (f"{names.get('model name')} (family {names.get('cpu family')}, model {names.get('model')}), "
            f"{os.cpu_count()} CPUs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--append", action="store_true", help="add to the rounds that were measured before")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--rows", help="a regular expression that chooses rows, as in 'gguf 1.5'")
    parser.add_argument("--equal", action="store_true", help="compare log probabilities too: reads whole models")
    parser.add_argument("--k2", action="store_true", help="Kimi K2's shape in 8 GiB, and nothing else")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peer-steps", type=int, default=4)
    parser.add_argument("--walet", default=str(ROOT / ".build" / "release" / "walet"))
    arguments = parser.parse_args()
    if arguments.k2:
        return k2_shape(arguments, build_probe())
    results = json.loads(RESULTS.read_text()) if (arguments.append or arguments.report) and RESULTS.exists() else {}
    results.setdefault("rounds", [])
    if not arguments.report:
        probe = build_probe()
        results["machine"] = cpu()
        results["version"] = subprocess.run([arguments.walet, "--version"], capture_output=True, text=True).stdout.strip()
        for _ in range(arguments.rounds):
            results["rounds"].append(one_round(arguments, probe, len(results["rounds"])))
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(results))
    if arguments.equal:
        for name, model, gib, _, _ in ROWS:
            if arguments.rows and not re.search(arguments.rows, f"{model} {gib}"):
                continue
            results.setdefault("equal", {})[f"{name} {gib:g}G"] = tokens_are_equal(arguments, model, int(gib * GIB))
        RESULTS.write_text(json.dumps(results))
    text = report(results)
    print(text)
    write_page(text)


if __name__ == "__main__":
    main()
