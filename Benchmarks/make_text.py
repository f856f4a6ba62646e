"""Writes real text that every Debian machine has, for `walet score --compare`: the Python language reference, code of the
standard library, and licences.

    python3 Benchmarks/make_text.py FILE [--kilobytes N]

A third each, in paragraphs as they stand; about 4 bytes make a token of SmolLM2. Prints the SHA-256, as the text differs
with the versions of Python and Debian.
"""
import argparse
import hashlib
import inspect
import pathlib
import platform
from importlib import import_module

from pydoc_data import topics


def reference():
    return "\n\n".join(topics.topics[name] for name in sorted(topics.topics))


def code():
    names = ["argparse", "textwrap", "heapq", "statistics", "fractions", "shutil", "tarfile", "difflib"]
    return "\n\n".join(inspect.getsource(import_module(name)) for name in names)


def licences():
    folder = pathlib.Path("/usr/share/common-licenses")
    names = ["GPL-3", "MPL-2.0", "Apache-2.0", "Artistic", "GFDL-1.3", "LGPL-2.1", "CC0-1.0", "MPL-1.1"]
    return "\n\n".join((folder / name).read_text() for name in names if (folder / name).exists())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--kilobytes", type=int, default=240)
    arguments = parser.parse_args()
    share = arguments.kilobytes * 1000 // 3
    text = "\n\n".join(part()[:share] for part in (reference, code, licences))
    arguments.file.write_text(text)
    print(f"{arguments.file}: {len(text.encode()):,} bytes, Python {platform.python_version()}, "
          f"SHA-256 {hashlib.sha256(text.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
