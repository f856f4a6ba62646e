#!/usr/bin/env python3
"""Expected values for the accounts: Tests/Fixtures/accounts/{money,report}.json.

Money is computed by Python's decimal, reports are written by Python's csv. Standard library only; the same bytes each time.

    python3 Tools/make_accounts_fixtures.py
"""

import csv
import datetime
import io
import json
import pathlib
import random
from decimal import ROUND_HALF_EVEN, Decimal, getcontext

getcontext().prec = 60
NANO = Decimal("0.000000001")
MILLION = Decimal(1_000_000)
FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/accounts"


def cost(price, fresh, cached, output):
    exact = Decimal(price["input"]) * fresh + Decimal(price["cached_input"]) * cached + Decimal(price["output"]) * output
    return (exact / MILLION).quantize(NANO, rounding=ROUND_HALF_EVEN)


def money():
    draw = random.Random(1)
    prices = [
        {"input": "0.56", "cached_input": "0.14", "output": "2.24"},
        {"input": "1.25", "cached_input": "0.125", "output": "10"},
        {"input": "0.3", "cached_input": "0.006", "output": "1.2"},
        {"input": "0.0005", "cached_input": "0.0005", "output": "0.0015"},  # halves of a nano-dollar
        {"input": "0.123456789", "cached_input": "0.000000001", "output": "987654.321987654"},
        {"input": "1000000", "cached_input": "0", "output": "1000000"},
    ]
    costs = []
    for price in prices:
        sizes = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (3, 5, 7), (1, 1, 1)]
        for most in (10, 5_000, 200_000, 1 << 31):
            sizes += [tuple(draw.randint(0, most) for _ in range(3)) for _ in range(8)]
        for fresh, cached, output in sizes:
            costs.append(
                {"price": price, "fresh": fresh, "cached": cached, "output": output,
                 "cost": f"{cost(price, fresh, cached, output):f}"})

    texts = ["0", "1", "12.5", "0.56", "0.000000001", "0.0000000001", "9223372036.854775807", "9223372036.854775808",
             "9999999999", "007", "1.", ".5", "-1", "+1", "1e3", "1,5", "", " 1", "1 ", "0x10", "NaN", "inf", "1.2.3",
             "0.100000000", "0.1000000000", "0" * 60 + "1", "1" * 40, "１", "1_000"]
    amounts = []
    for text in texts:
        nano = None
        whole, _, rest = text.partition(".")
        if text.isascii() and whole.isdigit() and (rest.isdigit() if "." in text else True) and len(text) <= 64:
            value = Decimal(text) / NANO
            if value == int(value) and value <= (1 << 63) - 1:
                nano = int(value)
        amounts.append({"text": text, "nanodollars": nano})
    return {"costs": costs, "amounts": amounts}


def cell(text):
    """OWASP's advice on formulas, then whatever csv does."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and text else text


def report():
    draw = random.Random(2)
    prices = {
        "default": {"input": "0.56", "cached_input": "0.14", "output": "2.24"},
        "models": {
            "small, \"quoted\"": {"input": "0.05", "cached_input": "0.0125", "output": "0.1"},
            "=fine()": {"input": "0.123456789", "cached_input": "0.000000003", "output": "1.000000007"},
        },
    }
    comparison = [
        {"name": "GPT-5", "date": "2026-11-25", "input": "1.25", "cached_input": "0.125", "output": "10"},
        {"name": "+DeepSeek, chat", "date": "2026-11-25", "input": "0.28", "cached_input": "0.028", "output": "0.42"},
    ]
    tenants = ["", "hr", "@legal", "Straße, 1", "-payroll"]
    models = ["kimi-k2", *prices["models"]]
    endpoints = ["chat.completions", "messages"]
    outcomes = ["completed", "completed", "cancelled", "disconnected", "failed"]
    start = datetime.datetime(2026, 10, 30, 22, 0, tzinfo=datetime.timezone.utc)
    requests = []
    for index in range(160):
        time = start + datetime.timedelta(seconds=draw.randint(0, 6 * 86400))
        prompt = draw.choice([0, draw.randint(1, 200), draw.randint(1, 130_000)])
        cached = draw.choice([0, prompt, draw.randint(0, prompt)])
        output = draw.choice([0, draw.randint(1, 100), draw.randint(1, 30_000)])
        requests.append({
            "id": f"r{index}", "time": time.strftime("%Y-%m-%dT%H:%M:%SZ"), "tenant": draw.choice(tenants),
            "model": draw.choice(models), "endpoint": draw.choice(endpoints), "outcome": draw.choice(outcomes),
            "prompt": prompt, "cached": cached, "output": output, "reasoning": draw.randint(0, output)})

    def csv_of(by, start=None, end=None):
        groups = {}
        for request in requests:
            if (start and request["time"] < start) or (end and request["time"] >= end):
                continue
            fields = request | {"day": request["time"][:10], "month": request["time"][:7]}
            groups.setdefault(tuple(fields[name] for name in by), []).append(request)
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\r\n")
        header = [*by, "requests", "unsettled", "prompt_tokens", "fresh_tokens", "cached_tokens", "output_tokens",
                  "reasoning_tokens", "cost_usd"]
        header += [f"usd at {entry['name']} of {entry['date']}" for entry in comparison]
        writer.writerow(header)
        total = Decimal(0)
        for group in sorted(groups, key=lambda values: [value.encode() for value in values]):
            rows = groups[group]
            fresh = sum(row["prompt"] - row["cached"] for row in rows)
            cached = sum(row["cached"] for row in rows)
            output = sum(row["output"] for row in rows)
            # Each request is rounded to a nano-dollar when it is charged.
            charged = sum((cost(prices["models"].get(row["model"], prices["default"]), row["prompt"] - row["cached"],
                                row["cached"], row["output"]) for row in rows), Decimal(0))
            total += charged
            writer.writerow(
                [cell(value) for value in group]
                + [len(rows), 0, fresh + cached, fresh, cached, output, sum(row["reasoning"] for row in rows)]
                + [f"{charged.quantize(NANO):f}"]
                + [f"{cost(entry, fresh, cached, output):f}" for entry in comparison])
        return {"by": list(by), "from": start, "to": end, "csv": out.getvalue(), "total": f"{total.quantize(NANO):f}"}

    reports = [csv_of(by) for by in [
        ("tenant",), ("model",), ("day",), ("month",), ("endpoint",), ("outcome",), ("model", "day"),
        ("month", "tenant", "outcome"), ("day", "month")]]
    reports.append(csv_of(("tenant", "model"), "2026-11-01T00:00:00Z", "2026-11-03T12:00:00Z"))
    return {"prices": prices, "comparison": comparison, "requests": requests, "reports": reports}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, value in (("money", money()), ("report", report())):
        text = json.dumps(value, ensure_ascii=False, indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
