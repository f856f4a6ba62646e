"""Whether the ledger of `walet serve` is what its clients received, with all kinds of trouble and a `kill -9` amid it.

    python3 Tools/check_ledger.py                          # 2,000 requests of SmolLM2, some minutes
    python3 Tools/check_ledger.py --requests 200 --seed 7  # fewer, another mix
    python3 Tools/check_ledger.py --keep DIR               # leaves database, logs and the clients' records there

Starts a server with accounts of its own and sends it a mix (ledger_mix.py): streams, whole answers, several choices,
four endpoints, several keys and tenants; clients that leave before, during and after, or close half of the
connection; wrong parameters, models, keys and bodies; budgets and limits that are used up. In the middle the server
is killed with SIGKILL and started again. At the end the ledger (`walet usage`, and the database itself) is compared
with what each client saw. Prints a line a check and `N passed, M failed`; exit status 1 where one failed. Standard
library only.
"""

import argparse
import asyncio
import collections
import fractions
import json
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

import http_load
import ledger_mix
import served

ROOT = pathlib.Path(__file__).resolve().parent.parent


# The run


class Run:
    """Sends the mix, kills the server in the middle, and keeps what each client saw."""

    def __init__(self, server, mix, clients):
        self.server, self.mix, self.clients = server, mix, clients
        self.records, self.flying = [], {}
        self.up = None
        self.in_flight_at_kill = []

    async def all(self):
        self.up = asyncio.Event()
        self.up.set()
        waiting = collections.deque(self.mix)
        half = len(waiting) // 2

        async def client():
            while waiting:
                await self.up.wait()
                await self.one(waiting.popleft())

        async def killer():
            while len(waiting) > half:
                await asyncio.sleep(0.01)
            self.up.clear()
            # Killed with streams under way, not in a moment of rest.
            self.server.stop(kill=True)
            self.in_flight_at_kill = list(self.flying.values())
            await asyncio.to_thread(self.server.start)
            self.up.set()

        await asyncio.gather(killer(), *(client() for _ in range(self.clients)))

    async def one(self, request):
        record = {
            "number": request.number,
            "kind": request.kind,
            "key": request.key,
            "path": request.path,
            "maximum": request.maximum_output,
            "leaves": request.leave is not None,
            "expected": request.expected,
        }
        self.flying[request.number] = record
        answer = await http_load.ask(
            self.server.port,
            request.path,
            request.body,
            key=request.secret,
            leave=request.leave,
            timeout=300,
            headers={"x-client-request-id": f"check-{request.number}"},
        )
        del self.flying[request.number]
        record |= {
            "sent": answer.sent is not None,
            "status": answer.status,
            "id": answer.request_id,
            "left": answer.has_left,
            "whole": answer.is_whole,
            "error": answer.error,
        }
        record |= ledger_mix.seen(request, answer)
        self.records.append(record)


# The checks


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, problems):
        """problems: what speaks against it, as texts."""
        problems = list(problems)
        if problems:
            self.failed += 1
            print(f"FAILED  {what}: {len(problems)} of them")
            for problem in problems[:8]:
                print(f"        {problem}")
        else:
            self.passed += 1
            print(f"ok      {what}")


def name_from_log(records, log):
    """Requests whose answer never began have no id that their client saw; the server's log tells it."""
    ids = {}
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "client_request_id" in entry and "request_id" in entry:
            ids[entry["client_request_id"]] = entry["request_id"]
    for record in records:
        if record["id"] is None:
            record["id"] = ids.get(f"check-{record['number']}")


def short(record):
    return {key: value for key, value in record.items() if value not in (None, False) and key != "expected"}


def nanodollars(row, prices):
    """Tokens times prices (nano-dollars a million), rounded once, half to even: by exact fractions."""
    fresh, cached, output = prices[row["price_version"]]
    total = row["fresh_tokens"] * fresh + row["cached_tokens"] * cached + row["output_tokens"] * output
    return round(fractions.Fraction(total, 1_000_000))


def amount(text):
    return round(fractions.Fraction(text) * 10**9)


def judge(run, server, keys, database, checks):
    """Compares the ledger with what the clients saw."""
    rows = [
        json.loads(line)
        for line in server.run("usage", "--requests", "--json", "--database", server.database).splitlines()
    ]
    by_id = collections.defaultdict(list)
    for row in rows:
        by_id[row["request_id"]].append(row)
    records = [record for record in run.records if record["sent"]]
    known = {record["id"]: record for record in records if record["id"]}
    flying = {record["number"] for record in run.in_flight_at_kill}
    ids = {key["id"]: name for name, key in keys.items()}
    complete = [record for record in records if record["usage"]]
    refused = [record for record in records if record["status"] and record["status"] >= 400]
    left = [record for record in records if record["left"] and record["id"] and not record["usage"]]

    checks.check(
        "every kind of the mix did what it should",
        (f"{short(record)}" for record in records if record["number"] not in flying and not record["as_expected"]),
    )
    checks.check(
        "cached and fresh tokens are the prompt, in every row and for every client",
        [f"{row}" for row in rows if row["fresh_tokens"] + row["cached_tokens"] != row["prompt_tokens"]]
        + [f"{short(record)}" for record in complete if record["usage"]["cached"] > record["usage"]["prompt"]],
    )
    checks.check(
        "what a client received in whole is in the ledger once, with the same counts",
        whole_answers(complete, by_id, ids),
    )
    checks.check(
        "what was refused is not charged",
        (
            f"{short(record)}: {row}"
            for record in refused
            for row in by_id.get(record["id"], [])
            if row["cost_usd"] != "0.000000000" or row["outcome"] != "failed"
        ),
    )
    checks.check("what a client left has one row, of at most what was asked for", leaving(left, by_id, flying))
    checks.check(
        "no request is in the ledger twice",
        (f"{id}: {len(found)} rows" for id, found in by_id.items() if len(found) > 1),
    )

    # Requests whose answer had not begun are known to the ledger by an id that their client never saw.
    nameless = collections.Counter((record["key"], record["path"]) for record in records if not record["id"])
    strangers = collections.Counter(
        (ids.get(row["key"], row["key"]), row["endpoint"]) for row in rows if row["request_id"] not in known
    )
    checks.check(
        "no row is of a request that nobody sent",
        (
            f"{count} rows of {what}, but {nameless[what]} requests without an id"
            for what, count in strangers.items()
            if count > nameless[what]
        ),
    )

    unsettled = [row for row in rows if row["outcome"] == "unsettled"]
    checks.check(
        "at most the requests in flight at the kill are unsettled",
        [f"{len(unsettled)} unsettled, {len(flying)} in flight"] * (len(unsettled) > len(flying))
        + [
            f"{row}: {short(known[row['request_id']])}"
            for row in unsettled
            if row["request_id"] in known and known[row["request_id"]]["number"] not in flying
        ],
    )
    checks.check(
        "the kill found requests in flight, and some are marked unsettled",
        [f"{len(flying)} in flight, {len(unsettled)} unsettled"] * (not flying or not unsettled),
    )
    checks.check(
        "what is unsettled has no tokens and no charge, but what was held",
        (
            f"{row}"
            for row in unsettled
            if row["cost_usd"] != "0.000000000"
            or row["prompt_tokens"]
            or row["output_tokens"]
            or amount(row["reserved_usd"]) <= 0
        ),
    )
    listed = server.run("usage", "--unsettled", "--json", "--database", server.database).splitlines()
    checks.check(
        "'walet usage --unsettled' lists these",
        [f"{len(listed)}, expected {len(unsettled)}"]
        * ({json.loads(line)["request_id"] for line in listed} != {row["request_id"] for row in unsettled}),
    )

    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        prices = {row[0]: row[1:] for row in connection.execute("SELECT id, fresh, cached, output FROM walet_price")}
        spent = dict(connection.execute("SELECT key_id, SUM(spent) FROM walet_spend GROUP BY key_id"))
        held = connection.execute(
            "SELECT SUM(reserved), (SELECT COUNT(*) FROM walet_reservation) FROM walet_spend"
        ).fetchone()
    checks.check(
        "every charge is tokens times price",
        (f"{row}: {nanodollars(row, prices)}" for row in rows if nanodollars(row, prices) != amount(row["cost_usd"])),
    )
    sums = collections.Counter()
    for row in rows:
        sums[row["key"]] += amount(row["cost_usd"])
    checks.check(
        "what keys have spent is the sum of their rows",
        (
            f"{key}: {spent.get(key, 0)} spent, rows say {sums[key]}"
            for key in {*spent, *sums}
            if spent.get(key, 0) != sums[key]
        ),
    )
    report = json.loads(server.run("usage", "--by", "key", "--json", "--database", server.database))
    checks.check("'walet usage' says the same", usage_problems(report, rows, sums))
    checks.check("nothing is held any more", [f"{held}"] * (held not in ((0, 0), (None, 0))))
    verdict = json.loads(server.run("usage", "--verify", "--json", "--database", server.database, check=False))
    checks.check(
        "'walet usage --verify' finds no mistake", [f"{verdict}"] * (not verdict["correct"] or verdict["running"] != 0)
    )
    checks.check(
        "no budget was passed",
        (
            f"{name}: {sums[keys[name]['id']]} of {amount(limit)}"
            for name, limit in ledger_mix.BUDGETS.items()
            if sums[keys[name]["id"]] > amount(limit)
        ),
    )
    checks.check("the audit log is whole and has every row, with the same counts", audit_problems(server, rows))
    print(
        f"{len(records)} requests sent: {len(complete)} received in whole, {len(refused)} refused, "
        f"{sum(record['left'] for record in records)} left, {len(flying)} in flight at the kill; {len(rows)} rows, "
        f"{len(unsettled)} unsettled; {sum(row['cached_tokens'] for row in rows):,} of "
        f"{sum(row['prompt_tokens'] for row in rows):,} prompt tokens cached"
    )


def whole_answers(records, by_id, ids):
    for record in records:
        found = by_id.get(record["id"], [])
        if len(found) != 1:
            yield f"{len(found)} rows for {short(record)}"
            continue
        row = found[0]
        seen = record["usage"]
        counts = {
            "prompt": row["prompt_tokens"],
            "cached": row["cached_tokens"],
            "output": row["output_tokens"],
            "reasoning": row["reasoning_tokens"],
        }
        if (
            row["outcome"] != "completed"
            or ids[row["key"]] != record["key"]
            or row["endpoint"] != record["path"]
            or any(counts[name] != value for name, value in seen.items())
        ):
            yield f"{short(record)}: {row}"


def leaving(records, by_id, flying):
    for record in records:
        if record["number"] in flying:
            continue
        found = by_id.get(record["id"], [])
        if not found and record["status"] is None:
            continue  # it left before anything was held for it
        if len(found) != 1:
            yield f"{len(found)} rows for {short(record)}"
            continue
        row = found[0]
        if row["outcome"] not in ("disconnected", "completed"):
            yield f"{short(record)}: {row['outcome']} {row['error']}"
        elif row["output_tokens"] > record["maximum"]:
            yield f"{short(record)}: {row['output_tokens']} tokens"
        # Nearly always as many; a text may have fewer tokens than the pieces that it was sent in.
        elif record["pieces"] > 2 * row["output_tokens"] or record["pieces"] and not row["prompt_tokens"]:
            yield f"{short(record)}: it saw {record['pieces']} pieces, charged are {row['output_tokens']} tokens"


def usage_problems(report, rows, sums):
    found = {row["key"]: row for row in report["rows"]}
    for key, total in sums.items():
        mine = [row for row in rows if row["key"] == key]
        row = found.get(key)
        if row is None:
            yield f"no row of {key}"
        elif (
            amount(row["cost_usd"]) != total
            or row["requests"] != len(mine)
            or row["output_tokens"] != sum(line["output_tokens"] for line in mine)
        ):
            yield f"{row}: expected {len(mine)} requests, {total} nano-dollars"


def audit_problems(server, rows):
    folder = ["--folder", server.folder / "audit"]
    verdict = json.loads(server.run("audit", "verify", "--json", *folder, check=False) or "{}")
    if not verdict.get("intact"):
        yield f"not intact: {verdict.get('problem', server.tail())}"
    entries = collections.defaultdict(list)
    lines = server.run("audit", "show", "--kind", "request", "--limit", 1_000_000, "--json", *folder)
    for entry in map(json.loads, lines.splitlines()):
        entries[entry["request"]].append(entry)
    for row in rows:
        found = entries[row["request_id"]]
        if row["outcome"] == "unsettled":
            continue
        if len(found) != 1:
            yield f"{len(found)} entries for {row}"
        elif [found[0][name] for name in ("prompt_tokens", "cached_tokens", "answer_tokens")] != [
            row[name] for name in ("prompt_tokens", "cached_tokens", "output_tokens")
        ]:
            yield f"{found[0]}: {row}"


def with_tools(model, target):
    template = ROOT / "Tests" / "Fixtures" / "templates" / "qwen2.5.jinja"
    subprocess.run([sys.executable, ROOT / "Tools" / "make_tools_model.py", model, template, target], check=True)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--walet", help="the program")
    parser.add_argument("--model", help="the GGUF file to serve, with a chat template that knows tools")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for database, logs and records, which stays")
    arguments = parser.parse_args()
    walet, model = served.find_walet(ROOT, arguments.walet), served.find_model(ROOT, arguments.model)
    folder = arguments.keep or pathlib.Path(tempfile.mkdtemp(prefix="walet-ledger-"))
    folder.mkdir(parents=True, exist_ok=True)
    if not arguments.model:
        # A part of the mix calls tools, which SmolLM2's own template does not know.
        model = with_tools(model, folder / "model.gguf")
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
            16,
            "--cache-dir",
            folder / "cache",
            "--audit-dir",
            folder / "audit",
            "--log-level",
            "info",
        ],
    )
    try:
        keys = {name: server.make_key(name, *options) for name, options in ledger_mix.KEYS.items()}
        server.run("keys", "revoke", keys["revoked"]["id"], "--database", server.database)
        mix = ledger_mix.mix(random.Random(arguments.seed), arguments.requests, keys, server.name)
        run = Run(server, mix, arguments.clients)
        start = time.monotonic()
        server.start()
        asyncio.run(run.all())
        print(f"{len(mix)} requests in {time.monotonic() - start:.0f} s", file=sys.stderr)
        checks = Checks()
        status = server.stop()
        checks.check("SIGTERM ends the server well", [f"status {status}: {server.tail()}"] * (status != 0))
        name_from_log(run.records, server.log)
        (folder / "records.json").write_text(json.dumps(run.records, indent=1) + "\n")
        judge(run, server, keys, server.database, checks)
    finally:
        server.stop(kill=True)
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
