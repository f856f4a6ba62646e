"""Writes Tests/Fixtures/vocabulary: texts, and the vocabularies that Hugging Face tokenizers trains on them.

    python3 -m venv .venv && .venv/bin/pip install -r Tools/requirements-text.txt
    .venv/bin/python Tools/make_vocabulary_fixtures.py

texts.jsonl    documents, one a line: {"text": …}; drawn by a fixed seed from words of several scripts, digits, marks,
               white space, and strings of two or three letters, in which one token comes about by different merges
NAME.json      what `Tokenizer.to_str()` says after training on them; its name is in VARIANTS
"""
import json
import pathlib
import random

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/vocabulary"
VERSION = "0.23.3"

WORDS = """the of and to in is that for it as was with be by on not he his but at are this have from or had an they
which one you were all her she there would their we him been has when who will no more if out so up said what its about
than into them can only other time new some could these two may first then do any like my now over such our man me even
most made after also did many off before must well back through years where much your way down should because long each
learning rate gradient momentum expert router attention latent tokens weights layer checkpoint resume schedule
schnell Größe Straße über naïve cœur déjà mañana ação Zażółć gęślą žluťoučký Съешь ещё этих мягких булок ψυχοφθόρα
צדיק مرحبا नमस्ते 今天天气很好 昨日は雨が降り カタカナ 오늘은 날씨가 สวัสดี don't it's we'll they're I'm O'Neill
foo_bar camelCase HTTPServer snake_case_name __init__ x86_64 v1.2.3 #include <stdio.h> return(x); a+b==c && !d
🙂 👩‍👩‍👧 ﬁne ½ Ⅷ ٣٤ 1234567 3.14159 2026-11-29 100,000 0x7f $5 50% (see) [1] {2} "quoted" 'single' … – —""".split()
SPACES = [" "] * 40 + ["  ", "\n", "\n\n", "\t", " \n", "\r\n", "   ", "\u00a0", ", ", ". ", "; ", ": ", "! ", "? "]


def documents():
    draw = random.Random(20261129)
    weights = [1 / (rank + 3) for rank in range(len(WORDS))]
    for _ in range(220):
        text = ""
        for _ in range(draw.randint(1, 90)):
            word = draw.choices(WORDS, weights)[0]
            if draw.random() < 0.1:
                word = word.capitalize() if draw.random() < 0.7 else word.upper()
            text += word + draw.choice(SPACES)
        yield text
    for letters in ("ab", "aab", "xyz", "aaaa"):
        for _ in range(25):
            yield " ".join("".join(draw.choices(letters, k=draw.randint(1, 24))) for _ in range(12))
    yield "a"
    yield " "
    yield "aaaaaaaaaaaaaaaa"


DEEPSEEK = [
    r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+""",
]
LLAMA3 = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+",
]
QWEN2 = [pattern.replace(r"\p{N}{1,3}", r"\p{N}") for pattern in LLAMA3]
MARKS = ["<|begin|>", "<|end|>", "<|pad|>"]
CHAT = MARKS + ["<|im_system|>", "<|im_user|>", "<|im_assistant|>", "<|im_end|>", "<think>", "</think>"]
# name: patterns, or None for GPT-2's own; size; special tokens; least count
VARIANTS = {
    "deepseek-1000": (DEEPSEEK, 1000, MARKS, 0),
    "deepseek-4000": (DEEPSEEK, 4000, MARKS, 2),
    "llama3-700": (LLAMA3, 700, ["<s>", "</s>"], 5),
    "qwen2-700": (QWEN2, 700, CHAT, 2),
    "gpt2-600": (None, 600, ["<|endoftext|>", "th", "in"], 0),
}


def train(patterns, size, marks, least, texts):
    tokenizer = Tokenizer(models.BPE())
    if patterns is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
            + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, min_frequency=least, special_tokens=marks, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def main():
    assert tokenizers.__version__ == VERSION, f"tokenizers {VERSION} is the reference, not {tokenizers.__version__}"
    OUT.mkdir(parents=True, exist_ok=True)
    texts = list(documents())
    with open(OUT / "texts.jsonl", "w", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    for name, (patterns, size, marks, least) in VARIANTS.items():
        tokenizer = train(patterns, size, marks, least, texts)
        (OUT / f"{name}.json").write_text(
            json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n",
            encoding="utf-8")
        print(f"{name}: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
