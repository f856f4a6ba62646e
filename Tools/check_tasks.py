"""Solves the problems of `walet train problems` again, from the words of their questions alone, with Python's own arithmetic.

    python3 Tools/check_tasks.py .build/release/walet [COUNT]       # of each task, level and split; standard library only

Also makes sure that no problem is in both splits, and that the same seed gives the same problems.
"""
import collections
import datetime
import fractions
import itertools
import json
import re
import subprocess
import sys

DAYS = ["monday senin", "tuesday selasa", "wednesday rabu", "thursday kamis", "friday jumat", "saturday sabtu", "sunday minggu"]
MONTHS = ["january januari", "february februari", "march maret", "april", "may mei", "june juni", "july juli",
          "august agustus", "september", "october oktober", "november", "december desember"]


def number_of(names, word):
    return next((index for index, name in enumerate(names) if word.lower() in name.split()), None)


def words(text, names):
    return [found for word in re.findall(r"[A-Za-z]+", text) if (found := number_of(names, word)) is not None]


def numbers(text):
    return [fractions.Fraction(found) for found in re.findall(r"(?<![\d.])-?\d+(?:\.\d+)?", text)]


def dates(text):
    """Dates of a year that is no leap year."""
    found = []
    name = "|".join(" ".join(MONTHS).split())
    for one in re.finditer(rf"(\d+) ({name})|({name}) (\d+)", text, re.I):
        day, month = (one[1], one[2]) if one[1] else (one[4], one[3])
        found.append(datetime.date(2025, number_of(MONTHS, month) + 1, int(day)))
    return found


def exactly(expression):
    assert re.fullmatch(r"[\d+\-*/() ]+", expression)
    return eval(re.sub(r"\d+", lambda one: f"fractions.Fraction({one[0]})", expression))


def solve(problem):
    """What the answer must come to, and what it comes to."""
    question, answer, level = problem["question"], problem["answer"], problem["level"]
    task = problem["task"]
    found = numbers(question)
    if task in ("addition", "subtraction", "multiplication"):
        a, b = (abs(value) for value in found)
        if re.match(r"Subtract|Kurangkan", question):
            if question.startswith("Subtract"):
                a, b = b, a
            else:
                a, b = b, a
        return {"addition": a + b, "subtraction": a - b, "multiplication": a * b}[task], numbers(answer)[0]
    if task == "comparison":
        is_largest = re.search(r"largest|greatest|terbesar|besar", question)
        return (max if is_largest else min)(found), numbers(answer)[0]
    if task == "sorting":
        is_down = re.search(r"largest first|descending|terbesar", question)
        return sorted(found, reverse=bool(is_down)), numbers(answer)
    if task == "letters":
        letter, word = re.search(r"(?:letter|huruf) (\w)\b.*\"(\w+)\"", question).groups()
        return word.count(letter), int(answer)
    if task == "calendar":
        return calendar(question, answer, level, found)
    if task == "countdown":
        *parts, = (int(value) for value in found)
        target = parts.pop() if re.match(r"Use|Pakai", question) else parts.pop(0)
        used = sorted(int(one) for one in re.findall(r"\d+", answer))
        return (target, sorted(parts)), (exactly(answer), used)
    if task == "prices":
        return prices(question, answer, level, found)
    if task == "domain":
        return domain(problem)
    raise ValueError(task)


def calendar(question, answer, level, found):
    if level <= 2:
        start, = words(question, DAYS)
        days = int(found[0]) * (-1 if re.search(r"ago|lalu", question) else 1)
        return (start + days) % 7, words(answer, DAYS)[0]
    if level == 3:
        start, = dates(question)
        days = next(int(value) for value in map(int, re.findall(r"(\d+) (?:days|hari)", question)))
        return start + datetime.timedelta(days), dates(answer)[0]
    first, second = dates(question)
    if level == 4:
        return (second - first).days, int(answer)
    start = words(question, DAYS)[0]
    return (start + (second - first).days) % 7, words(answer, DAYS)[0]


def prices(question, answer, level, found):
    if level == 1:
        return found[0] * found[1], numbers(answer)[0]
    if level == 2:
        return found[1] / found[0], numbers(answer)[0]
    if level == 3:
        a, b = found[1] / found[0], found[3] / found[2]
        return "A" if a < b else "B", answer
    if level == 4:
        return found[0] * found[1], numbers(answer)[0]
    fresh, cached, written, *amounts = found
    return sum(price * amount for price, amount in zip((fresh, cached, written), amounts)), numbers(answer)[0]


def domain(problem):
    """Whether it refuses what it must and nothing else; problems in other words from their key, where that says enough."""
    answer, key, level = problem["answer"], problem["key"], problem["level"]
    if level <= 3:
        return level < 3, bool(re.search(r"can't|cannot|tidak bisa", answer))
    asked = problem["question"].lower()
    # Every number of the key is asked about: the words have lost none.
    named = re.findall(r"\d+(?:\.\d+)?", key)
    if one := re.fullmatch(r"(\w) in (\w+)", key):
        return (True, one[2].count(one[1])), (one[2] in asked, int(answer))
    if key.split()[0] in ("max", "min"):
        pick = max if key.startswith("max") else min
        return (True, pick(numbers(key))), (set(numbers(key)) <= set(numbers(asked)), numbers(answer)[0])
    if key.split()[0] in ("up", "down"):
        order = sorted(numbers(key), reverse=key.startswith("down"))
        return (True, order), (set(numbers(key)) <= set(numbers(asked)), numbers(answer))
    if one := re.match(r"(\d+) of (\d+) (\d+) (\d+) ", key):
        return (True, int(one[1])), (all(re.search(rf"\b{name}\b", asked) for name in named), exactly(answer))
    if (one := re.fullmatch(r"(\d+)([-+*])(\d+)", key)) and not re.search("[a-zA-Z]", answer):
        return (True, exactly(key)), (all(re.search(rf"\b{name}\b", asked) for name in named), int(answer))
    # Dates and prices: checked in their own words.
    return True, True


def draw(walet, split, count, seed):
    words = [walet, "train", "problems", "--language", "both", "--count", str(count), "--split", split, "--seed", str(seed)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main():
    if len(sys.argv) < 2:
        sys.exit("check_tasks.py WALET [COUNT]")
    walet, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300
    counts, keys = collections.Counter(), {}
    for split in ("train", "held-out"):
        text = draw(walet, split, count, 1)
        assert text == draw(walet, split, count, 1), "another run gave other problems"
        keys[split] = set()
        for line in text.splitlines():
            problem = json.loads(line)
            expected, found = solve(problem)
            if expected != found:
                sys.exit(f"{problem}\n  should come to {expected}, comes to {found}")
            counts[problem["task"]] += 1
            keys[split].add((problem["task"], problem["key"]))
    both = keys["train"] & keys["held-out"]
    assert not both, f"in both splits: {itertools.islice(both, 3)}"
    print(", ".join(f"{task} {number}" for task, number in counts.items()))
    print(f"{sum(counts.values())} problems solved again, none otherwise; {len(keys['train'])} to train on, "
          f"{len(keys['held-out'])} held out, none in both")


if __name__ == "__main__":
    main()
