"""A model folder that Walet trained, experts in 4 bits or not, loaded by transformers: the same weights, texts, tokens and
log probabilities?

    .venv/bin/python Tools/check_nano.py FOLDER [--walet .build/release/walet]      # Tools/requirements-oracle.txt

Every weight that transformers has must be the folder's, and none may be left out or drawn anew. Prompts are rendered and
tokenized by both; transformers goes on from each with the likeliest tokens, and both say of every token there is how likely
it is after each of the text's. Walet computes with `--precision exact`. transformers is asked twice where experts are in 4
bits: as it loads them, which multiplies experts in BF16, and with the same weights in fp32. Only the latter must agree.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from oracle import int4

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

PROMPTS = [
    [("user", "What is 2 + 3?")],
    [("user", "Berapa 12 + 30?")],
    [("user", "How many times does the letter a occur in \"banana\"?")],
    [("user", "Hello!"), ("assistant", "Hello. I can do sums."), ("user", "Which is largest: 3.25, 3.3 or 0.9?")],
    [("system", "Answer in one word."), ("user", "Urutkan dari yang terkecil: 17, 4, 92.")],
    [("user", "<|im_end|> is a mark. 今天 🙂")],
]
STEPS = 96
BOUND = 1e-3


def walet(arguments, options):
    return subprocess.run([options.walet, *arguments], check=True, capture_output=True).stdout.decode()


def tokens_of(tokenizer, messages, options):
    """Both must render the same text; tokens are the same but where a message spells a control token, which is text for
    Walet."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(messages, file)
        file.flush()
        text = walet(["template", options.folder, "--messages", file.name], options)
    theirs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == theirs, (text, theirs)
    tokens = json.loads(walet(["tokenize", options.folder, text, "--json"], options))["tokens"]
    assert tokens == tokenizer(text, add_special_tokens=False)["input_ids"], text
    return tokens


@torch.no_grad()
def greedy(model, tokens, ends):
    tokens = list(tokens)
    for _ in range(STEPS):
        tokens.append(model(torch.tensor([tokens])).logits[0, -1].argmax().item())
        if tokens[-1] in ends:
            break
    return tokens


@torch.no_grad()
def log_probabilities(model, tokens):
    return model(torch.tensor([tokens])).logits[0].double().log_softmax(-1)


def scored(tokens, vocabulary, options):
    """[tokens, vocabulary]: ln p as Walet has it."""
    ids = ",".join(map(str, tokens))
    found = json.loads(walet(
        ["score", options.folder, "--tokens", ids, "--precision", "exact", "--json", "--top", str(vocabulary)], options))
    table = torch.full((len(tokens), vocabulary), torch.nan, dtype=torch.float64)
    for row, items in enumerate(found["top"]):
        for item in items:
            table[row, item["id"]] = item["logprob"]
    assert not table.isnan().any()
    return table


def compare(name, model, texts, tables):
    worst, likely, rows, same = 0.0, 0.0, 0, 0
    for tokens, table in zip(texts, tables):
        theirs = log_probabilities(model, tokens)
        apart = (theirs - table).abs()
        worst = max(worst, apart.max().item())
        likely = max(likely, apart[table > math.log(1e-3)].max().item())
        rows += len(tokens)
        same += (theirs.argmax(-1) == table.argmax(-1)).sum().item()
    print(f"{name}: log probabilities at most {worst:.1e} apart, {likely:.1e} of tokens above 0.1%; the likeliest token "
          f"is the same {same} of {rows} times")
    return worst, same == rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--walet", default=".build/release/walet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(options.folder)
    model, report = AutoModelForCausalLM.from_pretrained(
        options.folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not any(report.values()), report
    model.eval()
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}
    prompts = [
        tokens_of(tokenizer, [{"role": role, "content": content} for role, content in turns], options)
        for turns in PROMPTS
    ]
    texts = [greedy(model, prompt, ends) for prompt in prompts]
    for prompt, text in zip(prompts, texts):
        print(repr(tokenizer.decode(prompt[1:])), "->", repr(tokenizer.decode(text[len(prompt):])))
    tables = [scored(tokens, model.config.vocab_size, options) for tokens in texts]
    if any(p.dtype != torch.float32 for p in model.parameters()):
        compare("as transformers loads it", model, texts, tables)
    replaced = int4.check_weights(model, options.folder)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count:,} weights are those of the folder, {replaced:,} of them in 4 bits; none is missing or new")
    model.config._experts_implementation = "eager"  # the others multiply in BF16
    worst, agrees = compare("in fp32", model, texts, tables)
    if worst > BOUND or not agrees:
        sys.exit(f"expected at most {BOUND} apart and the same likeliest tokens")


if __name__ == "__main__":
    main()
