"""Trains a vocabulary with Walet and with Hugging Face tokenizers on the same documents, compares them and their times.

    .venv/bin/pip install -r Tools/requirements-text.txt
    .venv/bin/python Tools/check_tokenizer_trainer.py .build/release/WaletTrainWorker SIZE FILE.jsonl [FILE.jsonl…]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from make_vocabulary_fixtures import DEEPSEEK, MARKS, train


def main():
    if len(sys.argv) < 4:
        sys.exit("check_tokenizer_trainer.py WORKER SIZE FILE.jsonl…")
    worker, size, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        print(subprocess.run([worker, "tokenizer", str(size), folder, *files], check=True, capture_output=True,
                             text=True).stdout, end="")
        ours = time.monotonic() - begin
        found = json.loads((pathlib.Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))
    begin = time.monotonic()
    texts = [json.loads(line)["text"] for file in files for line in open(file, encoding="utf-8")]
    expected = json.loads(train(DEEPSEEK, size, MARKS, 0, texts).to_str())
    theirs = time.monotonic() - begin
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{megabytes:.1f} MB, {size} tokens, {os.cpu_count()} cores: walet {ours:.1f} s, tokenizers {theirs:.1f} s, "
          f"ratio {theirs / ours:.2f}")
    same = [key for key in expected if found.get(key) == expected[key]]
    if len(same) != len(expected) or found.keys() != expected.keys():
        pairs = zip(found["model"]["merges"], expected["model"]["merges"])
        first = next((index for index, (a, b) in enumerate(pairs) if a != b), None)
        sys.exit(f"the files differ; first other merge: {first}")
    print("the files are equal")


if __name__ == "__main__":
    main()
