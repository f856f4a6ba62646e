#!/usr/bin/env python3
"""Writes Tests/Fixtures/models/NAME: tiny random checkpoints and what transformers says about them.

    python Tools/make_model_fixtures.py            # all
    python Tools/make_model_fixtures.py NAME ...   # some
"""

import argparse
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch

from oracle import ggufs, plain, quantized

BUILDERS = [plain, quantized, ggufs]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "Tests/Fixtures/models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same file on every run
    known = {name: builder for builder in BUILDERS for name in builder.VARIANTS}
    for name in arguments.names or known:
        print(name, flush=True)
        folder = arguments.out / name
        known[name].build(name, folder, seed=zlib.crc32(name.encode()) % 100_000)
        size = sum(f.stat().st_size for f in folder.iterdir())
        print(f"    {size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
