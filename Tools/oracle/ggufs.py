"""GGUF variants, with llama.cpp's keys, tensor names and layouts. The golden values come from the file read back."""

import copy
import math

import numpy
import torch
from gguf import ExpertGatingFuncType, GGUFWriter, LlamaFileType, RopeScalingType

from . import ggml, golden, weights
from .plain import VOCAB, llama, must_matter, qwen3_moe, v2, v3

# The quantization of each tensor: a list is taken in turn by layer. Norms, routers and biases are always F32.
DEEPSEEK_TYPES = {
    "token_embd": "Q8_0", "output": "Q8_0", "attn_q_a": "Q8_0", "attn_q_b": "Q4_0", "attn_q": "Q4_0",
    "attn_kv_a_mqa": "Q8_0", "attn_k_b": "F16", "attn_v_b": "Q8_0", "attn_kv_b": ["F16", "Q8_0", "Q4_0"],
    "attn_output": ["Q4_0", "F16", "Q8_0"], "ffn_gate": "Q4_0", "ffn_up": "F16", "ffn_down": "Q8_0",
    "ffn_gate_exps": "Q4_0", "ffn_up_exps": ["Q4_0", "Q8_0"], "ffn_down_exps": ["Q8_0", "Q4_0"],
    "ffn_gate_shexp": "Q8_0", "ffn_up_shexp": "Q4_0", "ffn_down_shexp": "F16",
}
LLAMA_TYPES = {
    "token_embd": "Q5_1", "output": "Q8_0", "attn_q": ["Q4_1", "Q5_0"], "attn_k": ["Q5_0", "IQ4_NL"],
    "attn_v": ["Q5_1", "BF16"], "attn_output": ["IQ4_NL", "Q4_1"], "ffn_gate": ["Q4_1", "Q5_1"],
    "ffn_up": ["IQ4_NL", "Q5_0"], "ffn_down": ["BF16", "Q4_1"],
}
K_TYPES = {
    "token_embd": "Q6_K", "output": "Q5_K", "attn_q": ["Q4_K", "Q3_K"], "attn_k": ["Q5_K", "Q2_K"],
    "attn_v": ["Q6_K", "Q4_K"], "attn_output": ["Q3_K", "Q5_K"], "ffn_gate": ["Q2_K", "IQ4_XS"],
    "ffn_up": ["MXFP4", "Q4_K"], "ffn_down": ["Q5_K", "Q6_K"],
}
QWEN_TYPES = {
    "token_embd": "Q8_0", "output": "Q8_0", "attn_q": "Q8_0", "attn_k": "Q8_0", "attn_v": "F16", "attn_output": "Q4_0",
    "ffn_gate": "Q4_0", "ffn_up": "Q5_1", "ffn_down": "Q8_0", "ffn_gate_exps": "Q4_0", "ffn_up_exps": "Q5_0",
    "ffn_down_exps": ["Q8_0", "MXFP4"],
}
LLAMA3_ROPE = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64, "rope_type": "llama3"}
DEEPSEEK_SHAPE = dict(qk_nope_head_dim=32, v_head_dim=16, moe_intermediate_size=32, intermediate_size=96)

# name -> (configuration, architecture, types, options, changes that must matter)
VARIANTS = {
    "gguf-deepseek2": (
        v3(**DEEPSEEK_SHAPE), "deepseek2", DEEPSEEK_TYPES, {"pre": "deepseek-v3"},
        [{"rope_scaling": None}, {"norm_topk_prob": False}, {"topk_group": 4}],
    ),
    "gguf-deepseek2-legacy": (
        v2(q_lora_rank=None, n_routed_experts=8, **DEEPSEEK_SHAPE), "deepseek2", DEEPSEEK_TYPES,
        {"pre": "deepseek-llm", "legacy": True},
        [{"rope_scaling": None}],
    ),
    "gguf-llama": (
        llama(num_hidden_layers=2, intermediate_size=128, rope_theta=500000.0, rope_scaling=LLAMA3_ROPE), "llama",
        LLAMA_TYPES, {"pre": "llama-bpe"}, [{"rope_scaling": None}],
    ),
    "gguf-llama-kquants": (
        llama(hidden_size=256, num_hidden_layers=2, intermediate_size=256, num_key_value_heads=1,
              tie_word_embeddings=True), "llama", K_TYPES,
        {"pre": "llama-bpe"}, [],
    ),
    "gguf-qwen3": (
        llama("qwen3", "Qwen3ForCausalLM", head_dim=32, rms_norm_eps=1e-6, rope_theta=1000000.0, intermediate_size=128,
              num_hidden_layers=2), "qwen3", QWEN_TYPES, {"pre": "qwen2"}, [],
    ),
    "gguf-qwen3moe": (
        qwen3_moe(head_dim=32, num_hidden_layers=2, moe_intermediate_size=32, intermediate_size=128), "qwen3moe",
        QWEN_TYPES, {"pre": "qwen2"}, [{"norm_topk_prob": False}],
    ),
    "gguf-llama-split": (
        llama(num_hidden_layers=2, intermediate_size=128, tie_word_embeddings=True), "llama", LLAMA_TYPES,
        {"pre": "llama-bpe", "split": 13}, [],
    ),
}


def metadata(writer, c, arch, legacy):
    writer.add_name(f"walet fixture {arch}")
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(2)
    writer.add_vocab_size(c["vocab_size"])
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_freq_base(float(c["rope_theta"]))
    if arch != "deepseek2":
        writer.add_head_count_kv(c["num_key_value_heads"])
        if c.get("head_dim"):
            writer.add_key_length(c["head_dim"])
            writer.add_value_length(c["head_dim"])
        if arch == "llama":
            writer.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])
        if arch == "qwen3moe":
            writer.add_expert_count(c["num_experts"])
            writer.add_expert_used_count(c["num_experts_per_tok"])
            writer.add_expert_feed_forward_length(c["moe_intermediate_size"])
        return
    nope, rope, value, rank = (c[k] for k in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"))
    if legacy:
        writer.add_head_count_kv(c["num_attention_heads"])
        writer.add_key_length(nope + rope)
        writer.add_value_length(value)
    else:
        writer.add_head_count_kv(1)
        writer.add_key_length(rank + rope)
        writer.add_value_length(rank)
        writer.add_key_length_mla(nope + rope)
        writer.add_value_length_mla(value)
        writer.add_expert_weights_norm(c["norm_topk_prob"])
        writer.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)
        writer.add_expert_group_count(c["n_group"])
        writer.add_expert_group_used_count(c["topk_group"])
    if c["q_lora_rank"] is not None:
        writer.add_q_lora_rank(c["q_lora_rank"])
    writer.add_kv_lora_rank(rank)
    writer.add_leading_dense_block_count(c["first_k_dense_replace"])
    writer.add_expert_count(c["n_routed_experts"])
    writer.add_expert_used_count(c["num_experts_per_tok"])
    writer.add_expert_feed_forward_length(c["moe_intermediate_size"])
    writer.add_expert_shared_count(c["n_shared_experts"])
    writer.add_expert_weights_scale(c["routed_scaling_factor"])
    writer.add_rope_dimension_count(rope)
    scaling = c["rope_scaling"]
    writer.add_rope_scaling_type(RopeScalingType.YARN)
    writer.add_rope_scaling_factor(float(scaling["factor"]))
    writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    writer.add_rope_scaling_yarn_log_mul(0.1 * scaling["mscale_all_dim"])
    if not legacy:  # older converters left the betas out: readers take 32 and 1
        writer.add_rope_scaling_yarn_beta_fast(float(scaling["beta_fast"]))
        writer.add_rope_scaling_yarn_beta_slow(float(scaling["beta_slow"]))


def llama3_divisors(c):
    """`rope_freqs.weight`: what llama.cpp's converter computes from the llama3 scaling, one divisor a pair."""
    scaling, head = c["rope_scaling"], c["hidden_size"] // c["num_attention_heads"]
    factor, low, high = (scaling[k] for k in ("factor", "low_freq_factor", "high_freq_factor"))
    out = []
    for i in range(0, head, 2):
        wavelength = 2 * math.pi * c["rope_theta"] ** (i / head)
        smooth = (scaling["original_max_position_embeddings"] / wavelength - low) / (high - low)
        smooth = min(max(smooth, 0.0), 1.0)
        out.append(1 / ((1 - smooth) / factor + smooth))
    assert len(set(out)) >= 3, "all three regimes must occur"
    return torch.tensor(out)


def gguf_tensors(tensors, c, arch, legacy):
    """(GGUF name, tensor in GGUF layout), in the converter's order."""
    names = {v: k for k, v in ggml.DEEPSEEK_NAMES.items()}
    heads = c["num_attention_heads"]
    yield "token_embd.weight", tensors["model.embed_tokens.weight"]
    if c.get("rope_scaling") and arch == "llama":
        yield "rope_freqs.weight", llama3_divisors(c)
    stacked = set()
    for name, tensor in tensors.items():
        if not name.startswith("model.layers."):
            continue
        _, _, layer, rest = name.split(".", 3)
        block, (module, suffix) = f"blk.{layer}", rest.rsplit(".", 1)
        if module.startswith("mlp.experts."):
            projection = module.split(".")[3]
            if (layer, projection) not in stacked:
                stacked.add((layer, projection))
                count = c.get("n_routed_experts") or c["num_experts"]
                every = [tensors[f"model.layers.{layer}.mlp.experts.{e}.{projection}.weight"] for e in range(count)]
                yield f"{block}.ffn_{projection.removesuffix('_proj')}_exps.weight", torch.stack(every)
        elif suffix == "e_score_correction_bias":
            yield f"{block}.exp_probs_b.bias", tensor
        elif module == "self_attn.kv_b_proj" and not legacy:
            split = tensor.reshape(heads, -1, tensor.shape[1])
            yield f"{block}.attn_k_b.weight", split[:, : c["qk_nope_head_dim"]].transpose(1, 2).contiguous()
            yield f"{block}.attn_v_b.weight", split[:, c["qk_nope_head_dim"] :].contiguous()
        else:
            if arch == "llama" and module in ("self_attn.q_proj", "self_attn.k_proj"):
                tensor = ggml.permute(tensor, heads if module.endswith("q_proj") else c["num_key_value_heads"])
            yield f"{block}.{names[module]}.{suffix}", tensor
    yield "output_norm.weight", tensors["model.norm.weight"]
    if "lm_head.weight" in tensors:
        yield "output.weight", tensors["lm_head.weight"]


def type_of(name, tensor, types):
    parts = name.split(".")
    if tensor.ndim == 1 or parts[-2] == "ffn_gate_inp":
        return "F32"
    kind = types[parts[-2]]
    return kind if isinstance(kind, str) else kind[int(parts[1]) % len(kind)]


def build(name, folder, seed, greedy=True):
    c, arch, types, options, changes = copy.deepcopy(VARIANTS[name])
    legacy, split = options.get("legacy", False), options.get("split", 0)
    tensors = weights.make(weights.entries(c), seed, torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    writer = GGUFWriter(folder / "model.gguf", arch, split_max_tensors=split)
    metadata(writer, c, arch, legacy)
    ggml.tokenizer(writer, options["pre"], VOCAB)
    rng = numpy.random.default_rng(seed)
    used = set()
    for tensor_name, tensor in gguf_tensors(tensors, c, arch, legacy):
        kind = type_of(tensor_name, tensor, types)
        used.add(kind)
        array, kind_id = ggml.encode(tensor, kind, rng)
        writer.add_tensor(tensor_name, array, raw_dtype=kind_id)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    files = sorted(folder.glob("*.gguf"))
    print(f"    {len(files)} file(s), types {' '.join(sorted(used))}")

    _, stored = ggml.read(files)
    if arch == "deepseek2":
        plain = ggml.deepseek_weights(stored)
    else:
        plain = ggml.llama_weights(stored, c["num_attention_heads"], c["num_key_value_heads"], permuted=arch == "llama")
    assert plain.keys() == tensors.keys(), plain.keys() ^ tensors.keys()
    assert all(plain[k].shape == tensors[k].shape for k in tensors)
    if types != K_TYPES:  # there the weights are random blocks, not these tensors
        for k in tensors:
            error = (plain[k] - tensors[k]).abs().max() / tensors[k].abs().max()
            assert error < 0.3, (k, error)
    model = golden.reference_model(c, plain)
    result = golden.golden(model, VOCAB, seed, greedy)
    golden.write_json(folder / "golden.json", result)
    tokens = result["cases"][-1]["tokens"]
    base = golden.logprobs(model, tokens)
    must_matter(base, c, plain, changes, tokens)
    if arch == "llama":  # the row order must be visible
        wrong = ggml.llama_weights(stored, c["num_attention_heads"], c["num_key_value_heads"], permuted=False)
        assert (golden.logprobs(golden.reference_model(c, wrong), tokens) - base).abs().max() > 1
