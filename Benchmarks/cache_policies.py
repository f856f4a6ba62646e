"""Which experts a cache should give up: replays recorded routing with several policies and prints their hit rates.

    walet score MODEL --file TEXT --routing trace.jsonl
    python3 Benchmarks/cache_policies.py trace.jsonl --slots 2 4 6 12 24

A trace has a line a token: its experts by layer. It is replayed as decoding goes, token by token and layer by layer; the
experts of one token and layer are asked for together. `--slots` are slabs a layer, of a cache that all layers share.
"best" knows the future (Belady 1966): no policy can do better.
"""
import argparse
import collections
import heapq
import json


def lru(accesses, slots):
    cache, hits = collections.OrderedDict(), 0
    for key in accesses:
        if key in cache:
            hits += 1
            cache.move_to_end(key)
        else:
            if len(cache) >= slots:
                cache.popitem(last=False)
            cache[key] = True
    return hits


def slru(accesses, slots, protected=0.5):
    """Two lists: what is used a second time moves to the protected one, whose oldest moves back."""
    first, second, hits = collections.OrderedDict(), collections.OrderedDict(), 0
    room = int(slots * protected)
    for key in accesses:
        if key in second:
            hits += 1
            second.move_to_end(key)
        elif key in first:
            hits += 1
            del first[key]
            second[key] = True
            if len(second) > room:
                first[second.popitem(last=False)[0]] = True
        else:
            if len(first) + len(second) >= slots:
                (first or second).popitem(last=False)
            first[key] = True
    return hits


def lfu_aged(accesses, slots, period):
    """Counts of uses, halved every `period` accesses; of equals the least recently used goes."""
    counts, used, cache, hits = collections.Counter(), {}, set(), 0
    for time, key in enumerate(accesses):
        if time % period == period - 1:
            for other in list(counts):
                counts[other] /= 2
        counts[key] += 1
        used[key] = time
        if key in cache:
            hits += 1
        else:
            if len(cache) >= slots:
                cache.remove(min(cache, key=lambda other: (counts[other], used[other])))
            cache.add(key)
    return hits


def best(accesses, slots):
    following, last = [0] * len(accesses), {}
    for time in range(len(accesses) - 1, -1, -1):
        following[time] = last.get(accesses[time], len(accesses) + 1)
        last[accesses[time]] = time
    cache, heap, hits = {}, [], 0
    for time, key in enumerate(accesses):
        if key in cache:
            hits += 1
        elif len(cache) >= slots:
            while True:
                when, other = heapq.heappop(heap)
                if cache.get(other) == -when:
                    break
            del cache[other]
        cache[key] = following[time]
        heapq.heappush(heap, (-following[time], key))
    return hits


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace")
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 4, 6, 12, 24])
    parser.add_argument("--tokens", type=int, default=1000)
    arguments = parser.parse_args()
    tokens = []
    with open(arguments.trace) as file:
        for line in file:
            tokens.append(json.loads(line)["experts"])
            if len(tokens) == arguments.tokens:
                break
    layers = len(tokens[0])
    accesses = [(layer, expert) for token in tokens for layer, experts in enumerate(token) for expert in experts]
    per_token = len(accesses) // len(tokens)
    known = len(set(accesses))
    print(f"{len(tokens)} tokens, {layers} layers, {per_token // layers} experts a token and layer, {known} experts used")
    policies = {
        "LRU": lru,
        "SLRU 1/4": lambda a, s: slru(a, s, 0.25),
        "SLRU 1/2": lambda a, s: slru(a, s, 0.5),
        "SLRU 3/4": lambda a, s: slru(a, s, 0.75),
        "LFU, halved every 8 tokens": lambda a, s: lfu_aged(a, s, 8 * per_token),
        "LFU, halved every 64 tokens": lambda a, s: lfu_aged(a, s, 64 * per_token),
        "LFU, halved every 512 tokens": lambda a, s: lfu_aged(a, s, 512 * per_token),
        "best": best,
    }
    print("| policy | " + " | ".join(f"{slots} slabs a layer" for slots in arguments.slots) + " |")
    print("|---|" + "---|" * len(arguments.slots))
    for name, policy in policies.items():
        rates = [100 * policy(accesses, slots * layers) / len(accesses) for slots in arguments.slots]
        print(f"| {name} | " + " | ".join(f"{rate:.1f}%" for rate in rates) + " |")


if __name__ == "__main__":
    main()
