"""Measures what a schema costs a decode step: the same server answers freely and within schemas, alternately.

    python3 Benchmarks/mask_cost.py                  # eleven rounds at 1 and 16 clients, some minutes
    python3 Benchmarks/mask_cost.py --rounds 3 --clients 1

A round has, for each number of clients, a free answer, one within a schema that the server has seen (its masks are
kept), and one within a schema that it has never seen (names and bounds are new, every mask is made). Each is as long as
--tokens, and its time a token is from its first token to its last. At --temperature 0, the default, choosing a token costs
the same in all three; above it there is less to choose from within a schema, which saves more than masks cost. Prints
milliseconds a token and the ratio to the free answer of the same round, as median (minimum-maximum). SmolLM2's steps are
short, so the share of a mask is large: a larger model's is smaller. Raw figures go to
Benchmarks/.bench/results/mask-cost-*.json.
"""

import argparse
import asyncio
import datetime
import json
import pathlib
import random
import statistics
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "Tools"))

import http_load  # noqa: E402
import run as harness  # noqa: E402
import served  # noqa: E402

NAME = "model"
KINDS = ["free", "known schema", "new schema"]


def schema(generator):
    """Records as programs ask for them: texts, numbers, choices, dates, lists. Never shorter than the answers here."""
    tag = "".join(generator.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(6))
    record = {
        f"name_{tag}": {"type": "string", "minLength": 8, "maxLength": 40},
        "kind": {"enum": [f"{tag}_{kind}" for kind in ("person", "place", "product", "event")]},
        "day": {"type": "string", "format": "date"},
        "price": {"type": "number", "minimum": 0, "maximum": generator.randint(1000, 9999)},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{3,12}$"}, "minItems": 2, "maxItems": 4},
        "remark": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 60}]},
    }
    item = {"type": "object", "properties": record, "required": list(record), "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"records": {"type": "array", "items": item, "minItems": 20, "maxItems": 40}},
        "required": ["records"],
        "additionalProperties": False,
    }


async def ask(server, kind, known, generator, seed, arguments):
    """Seconds a token of one answer, which must have the length that it may have."""
    body = {
        "model": NAME,
        "messages": [{"role": "user", "content": "Write twenty records of things that one can buy in a small town."}],
        "max_tokens": arguments.tokens,
        "temperature": arguments.temperature,
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if kind == "free":
        body["ignore_eos"] = True
    else:
        chosen = known if kind == "known schema" else schema(generator)
        body["response_format"] = {
            "type": "json_schema", "json_schema": {"name": "records", "schema": chosen, "strict": True},
        }
    chat = http_load.read_chat(await http_load.ask(server.port, "/v1/chat/completions", body))
    if chat.error or chat.usage["completion_tokens"] != arguments.tokens:
        raise RuntimeError(f"{kind}: {chat.error or chat.usage}")
    return chat.per_token


async def measure(server, kind, known, generator, seed, clients, arguments):
    """Clients at once with answers of one kind; the mean of their times a token."""
    times = await asyncio.gather(
        *(ask(server, kind, known, generator, seed + n, arguments) for n in range(clients))
    )
    return statistics.mean(times)


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 16])
    parser.add_argument("--tokens", type=int, default=192, help="tokens of an answer")
    parser.add_argument("--temperature", type=float, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--walet", help="the program to measure")
    parser.add_argument("--model", help="the GGUF file to serve")
    arguments = parser.parse_args()
    walet, model = served.find_walet(ROOT, arguments.walet), served.find_model(ROOT, arguments.model)
    generator = random.Random(20261129)
    known = schema(generator)
    found = {clients: {kind: [] for kind in KINDS} for clients in arguments.clients}
    with tempfile.TemporaryDirectory() as folder:
        options = ["--threads", arguments.threads, "--log-level", "warning"]
        with served.Walet(walet, folder, model, NAME, options) as server:
            for clients in arguments.clients:
                asyncio.run(measure(server, "known schema", known, generator, 0, clients, arguments))
                for number in range(arguments.rounds):
                    for kind in KINDS[number % 3 :] + KINDS[: number % 3]:
                        seconds = asyncio.run(
                            measure(server, kind, known, generator, 1000 * number, clients, arguments)
                        )
                        found[clients][kind].append(seconds)
                    harness.say(f"  round {number + 1} of {arguments.rounds} at {clients} clients")
    print("| clients | answer | ms a token | to the free answer |\n|---|---|---|---|")
    for clients, kinds in found.items():
        for kind in KINDS:
            ratios = [own / free for own, free in zip(kinds[kind], kinds["free"])]
            ratio = "" if kind == "free" else spread(ratios, 3)
            print(f"| {clients} | {kind} | {spread([1e3 * value for value in kinds[kind]], 2)} | {ratio} |")
    folder = harness.WORK / "results"
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    file = folder / f"mask-cost-{now:%Y%m%dT%H%M%S}.json"
    file.write_text(json.dumps({
        "machine": harness.machine(), "versions": harness.versions(walet), "rounds": arguments.rounds,
        "tokens": arguments.tokens, "temperature": arguments.temperature, "model": model.name,
        "seconds_per_token": {str(clients): kinds for clients, kinds in found.items()},
    }, indent=1) + "\n")
    print(f"\n{harness.cpu_model()}, {harness.instruction_sets()}; {now:%Y-%m-%d}", file=sys.stderr)


if __name__ == "__main__":
    main()
