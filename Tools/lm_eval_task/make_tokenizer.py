"""Writes the tokenizer that lm-eval and aiperf need as a folder, from the vocabulary of SmolLM2's GGUF file.

    .venv/bin/python Tools/lm_eval_task/make_tokenizer.py .models/smollm2/vocabulary.json FOLDER

`make data` makes the vocabulary. SmolLM2 splits digits one by one, then follows GPT-2's byte-level BPE.
"""

import json
import pathlib
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    vocabulary = json.loads(pathlib.Path(sys.argv[1]).read_text())
    tokens = vocabulary["tokens"]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ")) for merge in vocabulary["merges"]],
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, vocabulary["token_type"])
            if kind == 3
        ]
    )
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {name: tokens[vocabulary[f"{name}_token_id"]] for name in ("bos", "eos")}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": names["bos"],
                "eos_token": names["eos"],
                "clean_up_tokenization_spaces": False,
                "model_max_length": 8192,
            },
            indent=1,
        )
        + "\n"
    )
    # For those who ask what kind of model it belongs to.
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": len(tokens)}) + "\n")


if __name__ == "__main__":
    main()
