#!/usr/bin/env python3
"""Asks llama.cpp, with the file of `walet export gguf`, the questions that `walet eval` asked, and compares greedy answers.

    .build/release/walet eval walet-nano --thinking on --language both --problems 4 --precision exact --max-tokens 560 --out answers.jsonl
    .venv/bin/python Tools/check_nano_answers.py Sources/Walet/Resources/walet-nano answers.jsonl

Answers are compared token by token, thinking included. llama.cpp rounds activations to 8 bits, so that of two tokens that are
nearly as likely it may take the other. --server names llama.cpp's llama-server; `make bench` builds one.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import tokenizers

from llama_server import llama_server, request

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("answers", type=pathlib.Path)
    parser.add_argument("--server", type=pathlib.Path,
                        default=ROOT / "Benchmarks/.bench/peers/llama.cpp/build/bin/llama-server")
    parser.add_argument("--walet", type=pathlib.Path, default=ROOT / ".build/release/walet")
    options = parser.parse_args()
    tokenizer = tokenizers.Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    answers = [json.loads(line) for line in options.answers.open(encoding="utf-8")]
    answers = [answer for answer in answers if answer["way"] == "thinking" and answer["finished"]]
    if not answers:
        parser.error(f"{options.answers} has no finished answers with thinking")
    equal = steps = same_steps = 0
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "model.gguf")
        subprocess.run([options.walet, "export", "gguf", options.folder, "--out", file], check=True, capture_output=True)
        with llama_server(options.server, file, "-fa", "off", "-ctk", "f32", "-ctv", "f32") as url:
            for answer in answers:
                prompt = f"<|begin|><|im_user|>{answer['question']}<|im_end|><|im_assistant|><think>"
                expected = f"{answer['thinking']}</think>{answer['answer']}<|im_end|>"
                prompt = tokenizer.encode(prompt, add_special_tokens=False).ids
                expected = tokenizer.encode(expected, add_special_tokens=False).ids
                status, _, body = request(url + "/completion", {
                    "prompt": prompt, "n_predict": len(expected), "temperature": 0, "return_tokens": True,
                    "cache_prompt": False})
                assert status == 200, (status, body[:500])
                tokens = json.loads(body)["tokens"]
                # The token that ends an answer is left out where the server stops at it.
                wanted = expected[:-1] if tokens[-1:] != expected[-1:] else expected
                first = next((i for i, pair in enumerate(zip(tokens, wanted)) if pair[0] != pair[1]), len(wanted))
                equal += tokens == wanted
                steps += len(wanted)
                same_steps += first
                if tokens != wanted:
                    around = slice(max(0, first - 8), first + 8)
                    print(f"{answer['question']!r}: {tokenizer.decode(wanted[around])!r}, llama.cpp "
                          f"{tokenizer.decode(tokens[around])!r}")
    print(f"{equal} of {len(answers)} greedy answers are the same to the last token; {same_steps} of {steps} tokens come before a "
          "difference")


if __name__ == "__main__":
    main()
