"""Random weights under the published tensor names of each model family.

A model is a list of (name, shape, kind); the kind decides the distribution. Matrices have a gain large enough that
attention, routing and logits are far from uniform, so that an error anywhere shows in the log probabilities.
"""

import torch

GAINS = {"matrix": 1.3, "out": 1.0, "head": 2.5, "gate": 1.5}


def draw(shape, kind, generator):
    x = torch.randn(shape, generator=generator, dtype=torch.float32)
    if kind in GAINS:
        return x * (GAINS[kind] / shape[-1] ** 0.5)
    if kind == "embed":
        return x * 0.7
    if kind == "tied":  # embedding and head at once
        return x * 0.3
    if kind == "norm":
        return 1 + 0.2 * x
    if kind == "bias":
        return 0.2 * x
    if kind == "correction":  # mostly negative: a group masked with 0 instead of -inf would win
        return 0.4 * x - 0.8
    raise ValueError(kind)


def make(entries, seed, dtype=torch.bfloat16, small_latents=False):
    """name -> tensor in its stored dtype. Correction biases are always fp32, as in the released checkpoints.

    `small_latents` shrinks the rows that make the compressed latents (not the rope rows), so that the epsilon of the
    latent norms is visible in the result.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape, kind in entries:
        x = draw(shape, kind, generator)
        if small_latents and name.endswith("kv_a_proj_with_mqa.weight"):
            x[: small_latents] *= 0.02
        tensors[name] = x.to(torch.float32 if kind == "correction" else dtype).contiguous()
    return tensors


def mlp(prefix, hidden, width, bias=False):
    for projection, shape, kind in (
        ("gate_proj", [width, hidden], "matrix"),
        ("up_proj", [width, hidden], "matrix"),
        ("down_proj", [hidden, width], "out"),
    ):
        yield f"{prefix}.{projection}.weight", shape, kind
        if bias:
            yield f"{prefix}.{projection}.bias", shape[:1], "bias"


def mla_attention(prefix, c):
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    nope, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    q_rank, kv_rank = c.get("q_lora_rank"), c["kv_lora_rank"]
    bias = c.get("attention_bias", False)
    if q_rank is None:
        yield f"{prefix}.q_proj.weight", [heads * (nope + rope), hidden], "matrix"
    else:
        yield f"{prefix}.q_a_proj.weight", [q_rank, hidden], "matrix"
        if bias:
            yield f"{prefix}.q_a_proj.bias", [q_rank], "bias"
        yield f"{prefix}.q_a_layernorm.weight", [q_rank], "norm"
        yield f"{prefix}.q_b_proj.weight", [heads * (nope + rope), q_rank], "matrix"
    yield f"{prefix}.kv_a_proj_with_mqa.weight", [kv_rank + rope, hidden], "matrix"
    if bias:
        yield f"{prefix}.kv_a_proj_with_mqa.bias", [kv_rank + rope], "bias"
    yield f"{prefix}.kv_a_layernorm.weight", [kv_rank], "norm"
    yield f"{prefix}.kv_b_proj.weight", [heads * (nope + value), kv_rank], "matrix"
    yield f"{prefix}.o_proj.weight", [hidden, heads * value], "out"
    if bias:
        yield f"{prefix}.o_proj.bias", [hidden], "bias"


def deepseek_layer(prefix, c, is_moe):
    hidden = c["hidden_size"]
    yield f"{prefix}.input_layernorm.weight", [hidden], "norm"
    yield from mla_attention(f"{prefix}.self_attn", c)
    yield f"{prefix}.post_attention_layernorm.weight", [hidden], "norm"
    if not is_moe:
        yield from mlp(f"{prefix}.mlp", hidden, c["intermediate_size"])
        return
    width = c["moe_intermediate_size"]
    yield f"{prefix}.mlp.gate.weight", [c["n_routed_experts"], hidden], "gate"
    if c.get("topk_method") == "noaux_tc":
        yield f"{prefix}.mlp.gate.e_score_correction_bias", [c["n_routed_experts"]], "correction"
    for expert in range(c["n_routed_experts"]):
        yield from mlp(f"{prefix}.mlp.experts.{expert}", hidden, width)
    yield from mlp(f"{prefix}.mlp.shared_experts", hidden, width * c["n_shared_experts"])


def deepseek(c):
    """DeepSeek-V2/V3, Moonlight, Kimi-K2; with `num_nextn_predict_layers`, the MTP layer after the last one."""
    hidden, vocab, layers = c["hidden_size"], c["vocab_size"], c["num_hidden_layers"]
    yield "model.embed_tokens.weight", [vocab, hidden], "embed"
    for i in range(layers):
        yield from deepseek_layer(f"model.layers.{i}", c, i >= c["first_k_dense_replace"])
    yield "model.norm.weight", [hidden], "norm"
    yield "lm_head.weight", [vocab, hidden], "head"
    for i in range(layers, layers + c.get("num_nextn_predict_layers", 0)):
        prefix = f"model.layers.{i}"
        yield f"{prefix}.embed_tokens.weight", [vocab, hidden], "embed"
        yield f"{prefix}.enorm.weight", [hidden], "norm"
        yield f"{prefix}.hnorm.weight", [hidden], "norm"
        yield f"{prefix}.eh_proj.weight", [hidden, 2 * hidden], "matrix"
        yield from deepseek_layer(prefix, c, True)
        yield f"{prefix}.shared_head.norm.weight", [hidden], "norm"
        yield f"{prefix}.shared_head.head.weight", [vocab, hidden], "head"


def llama(c):
    """Llama, Qwen3 (q/k norms) and Qwen3-MoE."""
    hidden, vocab, kind = c["hidden_size"], c["vocab_size"], c["model_type"]
    head = c.get("head_dim") or hidden // c["num_attention_heads"]
    queries, keys = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", [vocab, hidden], "tied" if c.get("tie_word_embeddings") else "embed"
    for i in range(c["num_hidden_layers"]):
        prefix = f"model.layers.{i}"
        yield f"{prefix}.input_layernorm.weight", [hidden], "norm"
        for projection, shape, role in (
            ("q_proj", [queries, hidden], "matrix"),
            ("k_proj", [keys, hidden], "matrix"),
            ("v_proj", [keys, hidden], "matrix"),
            ("o_proj", [hidden, queries], "out"),
        ):
            yield f"{prefix}.self_attn.{projection}.weight", shape, role
            if c.get("attention_bias"):
                yield f"{prefix}.self_attn.{projection}.bias", shape[:1], "bias"
        if kind.startswith("qwen3"):
            yield f"{prefix}.self_attn.q_norm.weight", [head], "norm"
            yield f"{prefix}.self_attn.k_norm.weight", [head], "norm"
        yield f"{prefix}.post_attention_layernorm.weight", [hidden], "norm"
        sparse = (
            kind == "qwen3_moe"
            and i not in c.get("mlp_only_layers", [])
            and (i + 1) % c.get("decoder_sparse_step", 1) == 0
        )
        if sparse:
            yield f"{prefix}.mlp.gate.weight", [c["num_experts"], hidden], "gate"
            for expert in range(c["num_experts"]):
                yield from mlp(f"{prefix}.mlp.experts.{expert}", hidden, c["moe_intermediate_size"])
        else:
            yield from mlp(f"{prefix}.mlp", hidden, c["intermediate_size"], c.get("mlp_bias", False))
    yield "model.norm.weight", [hidden], "norm"
    if not c.get("tie_word_embeddings"):
        yield "lm_head.weight", [vocab, hidden], "head"


def entries(c):
    return list(deepseek(c) if "kv_lora_rank" in c else llama(c))
