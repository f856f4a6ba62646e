"""Tests/Fixtures/training: what PyTorch and transformers make of tiny models that are trained.

For each model the weights before, the loss and every gradient of the first batch, and the weights after ten steps of
MuonClip and of AdamW; one whose experts are seen in 4 bits, two steps; single operations with their gradients; the
objective of reinforcement; rounding to 4 bits; conversations. See Tools/README.md.
"""

import json
import sys
from pathlib import Path

import safetensors.torch
import torch

from oracle import conversations, golden, int4, operations, plain, policy, training, weights

FOLDER = Path(__file__).parent.parent / "Tests" / "Fixtures" / "training"
STEPS = 10
SEQUENCES, LENGTH = 2, 12

DEEPSEEK = plain.v3(
    vocab_size=40, hidden_size=24, num_hidden_layers=2, first_k_dense_replace=1, num_attention_heads=2,
    num_key_value_heads=2, q_lora_rank=12, kv_lora_rank=12, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8,
    intermediate_size=32, moe_intermediate_size=12, n_routed_experts=6, num_experts_per_tok=2, n_group=1, topk_group=1,
    num_nextn_predict_layers=1, torch_dtype="float32",
)
SMALL = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8,
         "num_key_value_heads": 2, "intermediate_size": 24, "torch_dtype": "float32"}
LLAMA = plain.llama(**SMALL, attention_bias=True)
QWEN3 = plain.qwen3_moe(**SMALL | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
                                   "num_hidden_layers": 1, "tie_word_embeddings": True})

# Rows of experts that are whole groups of 32.
INT4 = plain.v3(
    vocab_size=40, hidden_size=32, num_hidden_layers=2, first_k_dense_replace=1, num_attention_heads=2,
    num_key_value_heads=2, q_lora_rank=None, kv_lora_rank=12, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8,
    intermediate_size=16, moe_intermediate_size=32, n_routed_experts=3, num_experts_per_tok=2, n_group=1, topk_group=1,
    num_nextn_predict_layers=0, torch_dtype="float32",
)

# name -> configuration, seed, what is added to the loss
MODELS = {
    "deepseek-v3": (DEEPSEEK, 11, {"mtp_weight": 0.3, "balance": 0.01}),
    "llama": (LLAMA, 12, {}),
    "qwen3-moe": (QWEN3, 13, {}),
    "deepseek-v3-int4": (INT4, 14, {"balance": 0.01, "int4": True}),
}
INT4_STEPS = 2
# AdamW's first steps are as long as its rate wherever a gradient is not zero, be it rounding: at Muon's rate the order of
# sums would decide where its weights go.
OPTIONS = {"rate": {"muonclip": 0.02, "adamw": 0.004}, "decay": 0.1, "tau": 1.5, "bias_rate": 0.01, "clip_norm": 0.5}


def rates(optimizer):
    """A warm-up of four steps, so that the rate differs from step to step."""
    return [OPTIONS["rate"][optimizer] * min(1.0, (step + 1) / 4) for step in range(STEPS)]


def batches(vocabulary, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(4, vocabulary, (STEPS, SEQUENCES, LENGTH + 1), generator=generator)
    return [(row[:, :-1], row[:, 1:]) for row in rows]


def leaves_of(tensors):
    leaves = {}
    for name, tensor in tensors.items():
        leaf = tensor.detach().clone().float()
        leaves[name] = leaf if "e_score_correction_bias" in name else leaf.requires_grad_()
    return leaves


def run(reference, tensors, data, optimizer, make, steps=STEPS):
    """Some steps; the losses, the norms of the gradients, the clips, the weights after."""
    leaves = leaves_of(tensors)
    state = make(leaves)
    log = []
    for rate, (tokens, targets) in zip(rates(optimizer)[:steps], data):
        if reference.int4:
            step, scale = int4.margin(leaves)
            assert step > 1e-5 and scale > 1e-6, (step, scale)
        for leaf in leaves.values():
            leaf.grad = None
        loss, _ = reference.loss(leaves, tokens, targets)
        loss.backward()
        for leaf in leaves.values():  # an expert that no token chose
            if leaf.requires_grad and leaf.grad is None:
                leaf.grad = torch.zeros_like(leaf)
        norm, clipped = state.step(rate)
        log.append({"loss": loss.item(), "norm": norm, "clipped": clipped})
    return {name: leaf.detach() for name, leaf in leaves.items()}, log


def build(name):
    c, seed, extras = MODELS[name]
    tensors = weights.make(weights.entries(c), seed, torch.float32)
    layers = c["num_hidden_layers"]
    # Trained prediction layers share the model's embedding and head.
    copies = (f"model.layers.{layers}.embed_tokens", f"model.layers.{layers}.shared_head.head")
    tensors = {n: t for n, t in tensors.items() if not n.startswith(copies)}
    for n in list(tensors):
        if "e_score_correction_bias" in n:  # near zero, as balancing starts
            tensors[n] = tensors[n] * 0.05
    data = batches(c["vocab_size"], seed)
    reference = training.Reference(c, tensors, **extras)

    leaves = leaves_of(tensors)
    loss, parts = reference.loss(leaves, *data[0])
    loss.backward()
    gradients = {n: t.grad for n, t in leaves.items() if t.grad is not None}
    facts = {
        "reference": golden.REFERENCE, "options": OPTIONS | extras,
        "rates": {name: rates(name) for name in OPTIONS["rate"]},
        "loss": loss.item(), "parts": {n: p.item() for n, p in parts.items()},
        "max_logits": {layer: v.tolist() for layer, v in sorted(training.MAX_LOGITS.items())},
        "counts": {layer: reference.counts(layer).tolist() for layer in sorted(reference.routed)},
        "tokens": [t.flatten().tolist() for t, _ in data], "targets": [t.flatten().tolist() for _, t in data],
        "length": LENGTH,
    }
    if reference.int4:
        facts["tokens"], facts["targets"] = facts["tokens"][:INT4_STEPS], facts["targets"][:INT4_STEPS]
    muon = lambda leaves: training.MuonClip(
        reference, leaves, OPTIONS["tau"], OPTIONS["decay"], OPTIONS["bias_rate"], OPTIONS["clip_norm"])
    adamw = lambda leaves: training.AdamW(leaves, OPTIONS["decay"], OPTIONS["clip_norm"])
    files = {"gradients": gradients}
    if reference.int4:
        files["muonclip"], facts["muonclip"] = run(reference, tensors, data, "muonclip", muon, INT4_STEPS)
    else:
        files["muonclip"], facts["muonclip"] = run(reference, tensors, data, "muonclip", muon)
        files["adamw"], facts["adamw"] = run(reference, tensors, data, "adamw", adamw)
    assert name == "qwen3-moe" or any(step["clipped"] for step in facts["muonclip"])

    folder = FOLDER / name
    plain.write_folder(folder, c, tensors)
    (folder / "generation_config.json").unlink()
    for file, values in files.items():
        changed = {n: v.contiguous() for n, v in values.items()}
        safetensors.torch.save_file(changed, folder / f"{file}.expected", {"format": "pt"})
    golden.write_json(folder / "expected.json", facts)
    size = sum(f.stat().st_size for f in folder.iterdir())
    clips = [step["clipped"] for step in facts["muonclip"]]
    print(f"{name}: loss {facts['loss']:.4f}, {size / 1e3:.0f} KB, heads clipped {clips}")


def main():
    torch.set_num_threads(1)
    training.newton_schulz_fp32()
    training.MAX_LOGITS.clear()
    for name in sys.argv[1:] or MODELS:
        training.MAX_LOGITS.clear()
        build(name)
    if not sys.argv[1:]:
        operations.write(FOLDER / "operations.expected")
        int4.write(FOLDER / "int4.expected")
        policy.write(FOLDER / "policy.json")
        conversations.write(FOLDER / "conversations.json")


if __name__ == "__main__":
    main()
