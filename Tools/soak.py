"""Keeps `walet serve` under the load of many clients for minutes: errors, resident memory, latency minute by minute.

    python3 Tools/soak.py                                  # 64 clients for ten minutes
    python3 Tools/soak.py --clients 16 --minutes 2
    python3 Tools/soak.py --json soak.json                 # all samples

Starts a server with accounts, audit log and disk cache of its own. Clients are streaming chats in a closed loop, half
of them with a beginning that others share; prompts of 40 to 300 tokens, answers of 16 to 96. The first minutes
(--warm-up) fill the caches and are left out of the judgement: after them no request may fail, memory may not grow by
more than --growth percent, and no minute's p99 of the first token may be more than --unsteady times the median
minute's. Prints a line a minute and `N passed, M failed`; exit status 1 where one failed. Standard library only.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import time

import http_load
import ledger_mix
import served

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Soak:
    def __init__(self, server, keys, arguments):
        self.server, self.keys, self.arguments = server, keys, arguments
        self.minutes = collections.defaultdict(list)  # of (first token, a token, tokens)
        self.errors = []
        self.samples = []
        self.start = 0.0

    async def run(self):
        self.start = time.monotonic()
        end = self.start + self.arguments.minutes * 60
        clients = [self.client(number, end) for number in range(self.arguments.clients)]
        await asyncio.gather(self.watch(end), *clients)

    async def client(self, number, end):
        generator = random.Random(f"{self.arguments.seed} {number}")
        key = self.keys[number % len(self.keys)]
        while time.monotonic() < end:
            body = request(generator, self.server.name)
            answer = await http_load.ask(self.server.port, "/v1/chat/completions", body, key=key, timeout=300)
            chat = http_load.read_chat(answer)
            at = time.monotonic() - self.start
            if chat.error or chat.ttft is None:
                self.errors.append((at, chat.error or "an answer without content"))
                await asyncio.sleep(0.2)
            else:
                self.minutes[int(at / 60)].append((chat.ttft, chat.per_token, chat.usage["completion_tokens"]))

    async def watch(self, end):
        printed = 0
        while time.monotonic() < end:
            await asyncio.sleep(min(5, max(0, end - time.monotonic())))
            if self.server.process.poll() is not None:
                self.errors.append((time.monotonic() - self.start, "the server has ended"))
                return
            at = time.monotonic() - self.start
            self.samples.append((at, *self.server.memory().values(), self.server.open_files()))
            if int(at / 60) > printed:
                self.print_minute(printed)
                printed = int(at / 60)
        # The clients' last answers come after the end.
        if printed < self.arguments.minutes and self.minutes[printed]:
            self.print_minute(printed)

    def print_minute(self, minute):
        done = self.minutes[minute]
        first, each = [found[0] for found in done], [found[1] for found in done if found[1]]
        sample = self.samples[-1]
        print(
            f"minute {minute + 1:3}  {len(done):5} answers  {sum(found[2] for found in done) / 60:6.0f} tokens/s  "
            f"first token p50 {ms(first, 50)} p99 {ms(first, 99)} ms  a token p50 {ms(each, 50)} p99 {ms(each, 99)} ms "
            f" resident {sample[1] / 2**20:.0f} MiB ({sample[2] / 2**20:.0f} of its own)  files {sample[3]}  "
            f"errors {len(self.errors)}",
            flush=True,
        )


def ms(values, p):
    return f"{http_load.percentile(values, p) * 1e3:.0f}" if values else "-"


def request(generator, model):
    messages = [
        {
            "role": "user",
            "content": " ".join(generator.choice(ledger_mix.TOPICS) for _ in range(generator.randint(20, 120))),
        }
    ]
    if generator.random() < 0.5:
        messages.insert(0, {"role": "system", "content": generator.choice(ledger_mix.SYSTEMS)})
    return {
        "model": model,
        "messages": messages,
        "max_tokens": generator.randint(16, 96),
        "ignore_eos": True,
        "temperature": 0.8,
        "seed": generator.getrandbits(31),
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def judge(soak, arguments):
    """(what, problem or None, figures) of each check."""
    begin = arguments.warm_up * 60
    yield (
        "no error",
        "; ".join(dict.fromkeys(f"{text} (after {at:.0f} s)" for at, text in soak.errors[:5])) or None,
        (f"{sum(map(len, soak.minutes.values()))} answers, {len(soak.errors)} errors"),
    )
    later = [sample for sample in soak.samples if sample[0] >= begin]
    if len(later) < 4:
        yield "memory does not grow", "too few samples after the warm-up", ""
        return
    quarter = max(1, len(later) // 4)
    for index, name in (1, "resident memory"), (2, "memory of its own"), (3, "number of open files"):
        first, last = (statistics.median(s[index] for s in part) for part in (later[:quarter], later[-quarter:]))
        growth = (last / first - 1) * 100
        figures = f"{first / 2**20:.0f} to {last / 2**20:.0f} MiB" if index < 3 else f"{first:.0f} to {last:.0f}"
        yield (
            f"{name} does not grow after the warm-up",
            (f"it grew by more than {arguments.growth} %" if growth > arguments.growth else None),
            f"{figures}, {growth:+.1f} %",
        )
    # The last one is cut short.
    whole = [minute for minute in sorted(soak.minutes) if begin <= minute * 60 and minute < arguments.minutes]
    for index, name in (0, "first token"), (1, "time a token"):
        worst = [
            http_load.percentile([found[index] for found in soak.minutes[minute] if found[index]], 99)
            for minute in whole
        ]
        if not worst:
            yield f"p99 of the {name} is steady", "no whole minute after the warm-up", ""
            continue
        middle = statistics.median(worst)
        yield (
            f"p99 of the {name} is steady",
            (
                f"a minute is more than {arguments.unsteady} times the median"
                if max(worst) > arguments.unsteady * middle
                else None
            ),
            (
                f"{min(worst) * 1e3:.0f} to {max(worst) * 1e3:.0f} ms over {len(worst)} minutes, median "
                f"{middle * 1e3:.0f}"
            ),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=2, help="minutes that are not judged")
    parser.add_argument("--growth", type=float, default=5, help="percent")
    parser.add_argument("--unsteady", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    # Small enough to be full, and thus at its steady size, before the warm-up ends.
    parser.add_argument("--cache-memory", default="512M")
    parser.add_argument("--cache-disk", default="256M")
    parser.add_argument("--walet", help="the program")
    parser.add_argument("--model", help="the GGUF file to serve")
    parser.add_argument("--json", type=pathlib.Path, help="a file for all samples")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for database and logs, which stays")
    arguments = parser.parse_args()
    walet, model = served.find_walet(ROOT, arguments.walet), served.find_model(ROOT, arguments.model)
    folder = arguments.keep or pathlib.Path(tempfile.mkdtemp(prefix="walet-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    server = served.Walet(
        walet,
        folder,
        model,
        options=[
            "--threads",
            arguments.threads,
            "--context",
            2048,
            "--max-running",
            arguments.clients,
            "--cache-memory",
            arguments.cache_memory,
            "--cache-dir",
            folder / "cache",
            "--cache-disk",
            arguments.cache_disk,
            "--audit-dir",
            folder / "audit",
            "--log-level",
            "warning",
        ],
    )
    passed = failed = 0
    try:
        keys = [server.make_key(f"key-{number}", "--tenant", f"tenant-{number % 2}")["secret"] for number in range(4)]
        server.start()
        soak = Soak(server, keys, arguments)
        asyncio.run(soak.run())
        status = server.stop()
        for what, problem, figures in [
            *judge(soak, arguments),
            ("SIGTERM ends the server well", f"status {status}" if status else None, ""),
        ]:
            passed, failed = passed + (problem is None), failed + (problem is not None)
            print(f"{'FAILED ' if problem else 'ok     '} {what}: {figures}{f'  <- {problem}' if problem else ''}")
        if arguments.json:
            arguments.json.write_text(
                json.dumps({"samples": soak.samples, "minutes": soak.minutes, "errors": soak.errors}, indent=1) + "\n"
            )
    finally:
        server.stop(kill=True)
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
