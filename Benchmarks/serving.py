"""Puts the same load on `walet serve` and on llama-server, alternately in rounds, and prints ratios.

    python3 Benchmarks/serving.py                     # three rounds, forty minutes; writes into docs/performance.md
    python3 Benchmarks/serving.py --quick             # one round of few and short requests, writes nothing to docs
    python3 Benchmarks/serving.py --parts prompt      # only the part with the repeated prompt (or: load)

Both serve SmolLM2-135M from the same file with as many threads, slots and tokens a slot. Clients are streaming chats
in a closed loop: prompts of about 200 tokens, no two alike, and answers of exactly 128 tokens at temperature 0. Then
a prompt of 2,000 tokens: its first token when it was never seen, when it is repeated, and after a restart from the
disk. Each server has the machine for itself while it is measured; the client shares it with both, and what it takes
of it is printed.

Needs `make build` and `make data`; builds llama-server (setup_peers.py) where it is missing. Raw figures go to
Benchmarks/.bench/results/serving-*.json.
"""

import argparse
import asyncio
import datetime
import json
import os
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "Tools"))

import http_load  # noqa: E402
import run as harness  # noqa: E402
import served  # noqa: E402
import serving_report  # noqa: E402
import setup_peers  # noqa: E402

MODEL = "smollm2"
SLOT = 1024  # tokens of a slot under load
LONG_SLOT = 4096  # and for the long prompt
# Each is one token of SmolLM2 after a space, so that a text's length is known.
WORDS = """the of and to in is that for it as was with be by on not he his but at are this have from or had an they
which one you were all her she there would their we him been has when who will no more if out so up said what its
about than into them can only other time new some could these two may first then do any like my now over such our man
me even most made after also did many off before must well back through years where much your way down should because
long each just state those people too mr how little good world make very year still see work life day under water room
part house place number""".split()


def words(generator, count):
    return " ".join(generator.choice(WORDS) for _ in range(count))


def body(text, tokens):
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


# Servers


def walet(arguments, folder, slots, context, *options):
    return served.Walet(
        arguments.walet,
        folder,
        arguments.model,
        MODEL,
        [
            "--threads",
            arguments.threads,
            "--max-running",
            slots,
            "--context",
            context,
            "--log-level",
            "warning",
            *options,
        ],
    )


def llama_server(arguments, folder, slots, context):
    port = served.free_port()
    # Each slot has its own part of the context (no --kv-unified), as every request of Walet has.
    return served.Server(
        [
            arguments.llama_server,
            "--model",
            arguments.model,
            "--alias",
            MODEL,
            "--host",
            "127.0.0.1",
            "--port",
            port,
            "--threads",
            arguments.threads,
            "--threads-batch",
            arguments.threads,
            "--parallel",
            slots,
            "--ctx-size",
            slots * context,
            "--no-kv-unified",
        ],
        folder / "server.log",
        "/health",
        port,
    )


SERVERS = {"Walet": walet, "llama-server": llama_server}


async def chat(server, text, tokens):
    """One request, which must succeed."""
    answer = await http_load.ask(server.port, "/v1/chat/completions", body(text, tokens))
    found = http_load.read_chat(answer)
    if found.error or found.ttft is None:
        raise RuntimeError(f"{server.command[0]}: {found.error or 'an answer without content'}")
    if found.usage["completion_tokens"] != tokens:
        raise RuntimeError(f"{server.command[0]}: {found.usage['completion_tokens']} tokens, expected {tokens}")
    return found


def cached(chat):
    return (chat.usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)


# Part 1: load


async def load(server, clients, texts, tokens):
    """Figures of so many clients that take the next text as soon as their answer is whole."""
    waiting, chats = list(reversed(texts)), []

    async def client():
        while waiting:
            chats.append(await chat(server, waiting.pop(), tokens))

    await chat(server, "Hello.", 8)
    start, own = time.perf_counter(), os.times()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds, now = time.perf_counter() - start, os.times()
    gaps = [gap for chat in chats for gap in chat.gaps]
    figures = {
        "seconds": seconds,
        "requests": len(chats),
        "client_cpus": (now[0] + now[1] - own[0] - own[1]) / seconds,
        "generated": sum(chat.usage["completion_tokens"] for chat in chats),
        "prompt": sum(chat.usage["prompt_tokens"] for chat in chats),
        "cached": sum(cached(chat) for chat in chats),
    }
    figures["tokens_per_second"] = figures["generated"] / seconds
    for name, values in {
        "ttft": [chat.ttft for chat in chats],
        "per_token": [chat.per_token for chat in chats],
        "gap": gaps,
    }.items():
        figures[f"{name}_p50"], figures[f"{name}_p99"] = (http_load.percentile(values, p) for p in (50, 99))
    return figures


def measure_load(arguments, number, folder):
    """{clients: {server: figures}}; every other round begins with the other server."""
    found = {}
    for clients in arguments.clients:
        generator = random.Random(1000 * number + clients)
        count = max(clients * arguments.requests, 4)
        texts = [words(generator, generator.randint(120, 240)) for _ in range(count)]
        found[clients] = {}
        for name in sorted(SERVERS, reverse=number % 2 == 1):
            place = pathlib.Path(tempfile.mkdtemp(dir=folder))
            with SERVERS[name](arguments, place, clients, SLOT) as server:
                watch = harness.Watch()
                figures = asyncio.run(load(server, clients, texts, arguments.tokens))
                figures["memory"] = server.memory()["all"]
            # The server has ended and counts as a child, so what is left are others.
            figures |= watch.stop()
            found[clients][name] = figures
            harness.say(
                f"  {clients:3} clients  {name:13} {figures['tokens_per_second']:7.1f} tokens/s  first token "
                f"{figures['ttft_p50'] * 1e3:.0f}/{figures['ttft_p99'] * 1e3:.0f} ms  a token "
                f"{figures['per_token_p50'] * 1e3:.1f}/{figures['per_token_p99'] * 1e3:.1f} ms  client "
                f"{figures['client_cpus']:.2f} CPUs, others {figures.get('other_cpus', 0):.2f}"
            )
    return found


# Part 2: a repeated prompt


async def repeated(server, text, times):
    """A prompt that the server has not seen, then the same again."""
    await chat(server, "Hello.", 8)
    first = await chat(server, text, 33)
    again = [await chat(server, text, 8) for _ in range(times)]
    return {
        "prompt": first.usage["prompt_tokens"],
        "cold": first.ttft,
        "cold_cached": cached(first),
        "step": statistics.median(first.gaps),
        "warm": statistics.median(chat.ttft for chat in again),
        "warm_worst": max(chat.ttft for chat in again),
        "warm_cached": min(cached(chat) for chat in again),
    }


async def once(server, text):
    await chat(server, "Hello.", 8)
    found = await chat(server, text, 8)
    return {"disk": found.ttft, "disk_cached": cached(found)}


async def text_of(server, generator, tokens):
    """A text whose chat has exactly so many tokens of prompt."""
    text = words(generator, tokens)
    while True:
        count = await prompt_tokens(server, text)
        if count == tokens:
            return text
        text = text.rsplit(" ", count - tokens)[0] if count > tokens else f"{text} {words(generator, tokens - count)}"


async def prompt_tokens(server, text):
    answer = await http_load.ask(
        server.port, "/tokenize", {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    )
    value = answer.json() or {}
    if answer.status != 200:
        raise RuntimeError(f"/tokenize: status {answer.status}: {value}")
    return value.get("count") or len(value["tokens"])


def settle_on_disk(folder, quiet=1.0, timeout=60):
    """Waits until a folder's files have not changed for a while; gives their bytes."""
    end, last, since = time.monotonic() + timeout, None, time.monotonic()
    while time.monotonic() < end:
        now = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > quiet:
            break
        time.sleep(0.1)
    return sum((last or {}).values())


def drop_from_memory(folder):
    """Tells the kernel to forget what it has cached of a folder's files, so that they are read from the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_prompt(arguments, number, folder):
    """{tokens: {server: figures}} of prompts of 2,000 tokens, and of the length that fits worst into pages of 64."""
    found = {}
    for tokens in arguments.lengths:
        generator = random.Random(f"{number} {tokens}")
        with walet(arguments, pathlib.Path(tempfile.mkdtemp(dir=folder)), 4, LONG_SLOT) as server:
            text = asyncio.run(text_of(server, generator, tokens))
        found[tokens] = {}
        for name in sorted(SERVERS, reverse=number % 2 == 1):
            place = pathlib.Path(tempfile.mkdtemp(dir=folder))
            cache = place / "cache"
            options = ["--cache-dir", cache] if name == "Walet" else []
            server = SERVERS[name](arguments, place, 4, LONG_SLOT, *options)
            with server:
                figures = asyncio.run(repeated(server, text, arguments.repeats))
                if options:
                    figures["disk_bytes"] = settle_on_disk(cache)
            if options:
                drop_from_memory(cache)
                with server:
                    figures |= asyncio.run(once(server, text))
            found[tokens][name] = figures
            disk = (
                f", from the disk {figures['disk'] * 1e3:.0f} ms ({figures['disk_cached']} cached)" if options else ""
            )
            harness.say(
                f"  {figures['prompt']} tokens  {name:13} cold {figures['cold'] * 1e3:.0f} ms, repeated "
                f"{figures['warm'] * 1e3:.1f} ms ({figures['warm_cached']} cached), a step "
                f"{figures['step'] * 1e3:.1f} ms{disk}"
            )
    return found


# The command


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round; a check of the harness")
    parser.add_argument("--parts", default="load,prompt", help="load, prompt, or both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 16, 64])
    parser.add_argument("--requests", type=int, default=3, help="requests of each client")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of an answer")
    parser.add_argument("--repeats", type=int, default=7, help="times that the long prompt is repeated")
    parser.add_argument("--lengths", type=lambda text: [int(n) for n in text.split(",")], default=[2000, 2047])
    parser.add_argument("--walet", help="the program to measure")
    parser.add_argument("--model", help="the GGUF file to serve")
    parser.add_argument("--llama-server", help="the peer to measure, where it is not to be built")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parallel compilations of the peer")
    parser.add_argument("--output", type=pathlib.Path, help="the page to write; default: docs/performance.md")
    arguments = parser.parse_args()
    arguments.parts = arguments.parts.split(",")
    if unknown := set(arguments.parts) - {"load", "prompt"}:
        parser.error(f"--parts: no {', '.join(sorted(unknown))}")
    if arguments.quick:
        arguments.rounds, arguments.requests, arguments.tokens, arguments.repeats = 1, 1, 32, 3
    return arguments


def main():
    arguments = parse_arguments()
    arguments.walet = served.find_walet(ROOT, arguments.walet)
    arguments.model = served.find_model(ROOT, arguments.model)
    if not arguments.llama_server:
        setup_peers.make_venv()
        setup_peers.build("llama.cpp", arguments.jobs)
        arguments.llama_server = setup_peers.WORK / "peers" / "llama.cpp" / "build" / "bin" / "llama-server"
    load_average = os.getloadavg()[0]
    if load_average > 0.5:
        harness.say(f"serving.py: other work keeps this machine busy (load {load_average:.2f}); figures will be off")
    data = {
        "run": {
            "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
            "machine": harness.machine(),
            "versions": {
                name: version
                for name, version in harness.versions(arguments.walet).items()
                if name in ("walet", "llama.cpp")
            },
            "threads": arguments.threads,
            "rounds": arguments.rounds,
            "tokens": arguments.tokens,
            "load_at_start": load_average,
        },
        "load": [],
        "prompt": [],
    }
    folder = pathlib.Path(tempfile.mkdtemp(prefix="walet-serving-"))
    results = setup_peers.WORK / "results"
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"serving-{datetime.datetime.now():%Y%m%d-%H%M%S}.json"
    try:
        for number in range(arguments.rounds):
            harness.say(f"round {number + 1}")
            for part, measure in ("load", measure_load), ("prompt", measure_prompt):
                if part in arguments.parts:
                    data[part].append(measure(arguments, number, folder))
            file.write_text(json.dumps(data, indent=1) + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # As read back: keys of JSON are texts.
    page = serving_report.markdown(json.loads(file.read_text()))
    if arguments.output or not arguments.quick:
        serving_report.write(arguments.output or ROOT / "docs" / "performance.md", page)
    print(page)
    harness.say(f"raw results: {file}")


if __name__ == "__main__":
    main()
