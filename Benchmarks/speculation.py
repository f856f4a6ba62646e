"""What guessing tokens ahead gains: runs walet with and without it in turn, and prints a table; see docs/speculation.md.

    python3 Benchmarks/speculation.py                      # SmolLM2 from .models, three rounds
    python3 Benchmarks/speculation.py --model M --rounds 5 --tokens 200 --speculate mtp
    python3 Benchmarks/speculation.py --passes             # what a pass of more rows costs beside one of a single row

Texts must be equal with and without, or it stops. A ratio is taken within a round; the rounds' median, smallest and
largest are shown. Needs `make build` and `make data` before, and nothing but Python.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

ARTICLE = (
    "The swiftlet is a small bird of the family Apodidae. Some species build their nests in caves on the coasts of "
    "Java, Borneo and Vietnam, where they find their way in the dark by clicking sounds. The nests of the edible-nest "
    "swiftlet are made of hardened saliva and have been traded since the sixteenth century. Today most of them come "
    "from houses that were built for the birds, with narrow entrances, moist air and recordings of their calls. A pair "
    "raises two young a year, and returns to the same place to breed."
)
CODE = """class Ledger:
    def __init__(self, owner):
        self.owner = owner
        self.entries = []

    def add(self, amount, note):
        if amount == 0:
            raise ValueError("amount must not be zero")
        self.entries.append((amount, note))

    def balance(self):
        return sum(amount for amount, note in self.entries)

    def notes(self):
        return [note for amount, note in self.entries]
"""
TABLE = """Order 1041: Ada Lovelace, 12 Analytical Street, London, 3 notebooks, 14.50 EUR
Order 1042: Grace Hopper, 7 Compiler Avenue, Arlington, 1 nanosecond wire, 2.00 EUR
Order 1043: Alan Turing, 23 Machine Road, Wilmslow, 2 apples, 1.20 EUR
Order 1044: Emmy Noether, 5 Symmetry Lane, Erlangen, 8 ring binders, 22.40 EUR
Order 1045: Katherine Johnson, 9 Orbit Way, Hampton, 1 slide rule, 31.00 EUR
"""

# kind -> name -> prompt
PROMPTS = {
    "repeats": {
        "copy a text": f"Repeat this text word for word:\n\n{ARTICLE}",
        "rename in code": f"Write this code again, but call the class Account:\n\n```python\n{CODE}```",
        "correct a text": f"Correct the spelling of this text and change nothing else:\n\n{ARTICLE}",
        "extract lines": f"Copy the orders that go to a street, road, lane or avenue:\n\n{TABLE}",
    },
    "new": {
        "explain": "Why is the sky blue during the day and red in the evening?",
        "story": "Tell a story about a lighthouse keeper who finds a letter.",
        "advice": "How should I prepare for a long walk in the mountains?",
    },
}


def cpu():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    names = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    flags = names.get("flags", "").split()
    sets = [flag for flag in ("avx2", "avx_vnni", "avx512f", "avx512_vnni") if flag in flags]
    return (f"{names.get('model name', os.uname().machine)} (family {names.get('cpu family')}, model "
            f"{names.get('model')}; {', '.join(sets)}), {os.cpu_count()} CPUs")


def answer(arguments, prompt, way):
    command = [arguments.walet, "run", arguments.model, prompt, "--temperature", "0", "--max-tokens",
               str(arguments.tokens), "--speculate", way, "--json"]
    if way != "off" and arguments.draft_tokens:
        command += ["--draft-tokens", str(arguments.draft_tokens)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    return "".join(event.get("text", "") for event in events), events[-1]["usage"]


def spread(values):
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"


def compare(arguments):
    way = arguments.speculate
    print(f"| kind | prompt | tokens | tokens/s off | {way} to off: min / median / max | guesses that came true "
          "| tokens a pass |\n|---|---|---|---|---|---|---|")
    for kind, prompts in PROMPTS.items():
        everything = []
        for name, prompt in prompts.items():
            rates, ratios, usage = [], [], None
            for number in range(arguments.rounds):
                order = ["off", way] if number % 2 == 0 else [way, "off"]
                results = {each: answer(arguments, prompt, each) for each in order}
                (plain, before), (text, usage) = results["off"], results[way]
                if text != plain:
                    sys.exit(f"{name}: the answers differ\n--- off\n{plain}\n--- {way}\n{text}")
                rates.append(before["tokens_per_second"])
                ratios.append(usage["tokens_per_second"] / before["tokens_per_second"])
            everything += ratios
            tokens, drafted, accepted = (
                usage[key] for key in ("completion_tokens", "drafted_tokens", "accepted_tokens"))
            share = f"{accepted} of {drafted}, {accepted / drafted:.0%}" if drafted else "none guessed"
            print(f"| {kind} | {name} | {tokens} | {statistics.median(rates):.1f} | {spread(ratios)} | {share} "
                  f"| {tokens / max(1, tokens - accepted):.2f} |", flush=True)
        print(f"| **{kind}** | all | | | {spread(everything)} | | |", flush=True)


def passes(arguments):
    """Sequences that are decoded together are rows of one pass, as guesses are."""
    print("| rows of a pass | time beside one row: min / median / max | a further row |\n|---|---|---|")
    counts = [2, 3, 5, 9, 16]
    ratios = {count: [] for count in counts}
    for _ in range(arguments.rounds):
        seconds = {}
        for count in [1] + counts:
            command = [arguments.walet, "bench", arguments.model, "--prompt", "64", "--generate", "48", "--batch",
                       str(count), "--json"] + (["--random-weights"] if arguments.random_weights else [])
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            seconds[count] = count / result["decode_tokens_per_second"]
        for count in counts:
            ratios[count].append(seconds[count] / seconds[1])
    for count in counts:
        further = (statistics.median(ratios[count]) - 1) / (count - 1)
        print(f"| {count} | {spread(ratios[count])} | {further:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walet", default=str(ROOT / ".build/release/walet"))
    parser.add_argument("--model", default=str(ROOT / ".models/smollm2"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--speculate", choices=["lookup", "mtp"], default="lookup")
    parser.add_argument("--draft-tokens", type=int)
    parser.add_argument("--passes", action="store_true")
    parser.add_argument("--random-weights", action="store_true", help="with --passes: a config.json is enough")
    arguments = parser.parse_args()
    version = subprocess.run([arguments.walet, "--version"], capture_output=True, text=True).stdout.strip()
    print(f"{cpu()}; walet {version}; {pathlib.Path(arguments.model).name}; {arguments.rounds} rounds\n")
    passes(arguments) if arguments.passes else compare(arguments)


if __name__ == "__main__":
    main()
