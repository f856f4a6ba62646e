"""Configurations of the safetensors variants whose weights are plain floats, and the writer of their folders."""

import copy
import json

import safetensors.torch
import torch

from . import golden, mtp, mutations, weights

VOCAB = 320


def yarn(factor, mscale, mscale_all_dim, beta_fast=32, beta_slow=1, **rest):
    return {
        "type": "yarn", "factor": factor, "beta_fast": beta_fast, "beta_slow": beta_slow,
        "mscale": mscale, "mscale_all_dim": mscale_all_dim, "original_max_position_embeddings": 64, **rest,
    }


def deepseek(model_type, architecture, **changes):
    c = {
        "architectures": [architecture], "model_type": model_type, "torch_dtype": "bfloat16",
        "vocab_size": VOCAB, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 48, "moe_intermediate_size": 16,
        "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 12,
        "n_routed_experts": 6, "n_shared_experts": 1, "num_experts_per_tok": 3, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": 1, "moe_layer_freq": 1, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
        "norm_topk_prob": True, "routed_scaling_factor": 2.5, "aux_loss_alpha": 0.001, "seq_aux": True,
        "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000, "rope_scaling": None,
        "max_position_embeddings": 2560, "attention_bias": False, "attention_dropout": 0.0,
        "tie_word_embeddings": False, "initializer_range": 0.02, "ep_size": 1, "pretraining_tp": 1, "use_cache": True,
        "bos_token_id": 0, "eos_token_id": 1,
    }
    c.update(changes)
    return {k: v for k, v in c.items() if v is not ...}


def v2(**changes):
    return deepseek(
        "deepseek_v2", "DeepseekV2ForCausalLM",
        **{"scoring_func": "softmax", "topk_method": "greedy", "norm_topk_prob": False, "routed_scaling_factor": 1.0,
           "n_shared_experts": 2, "rope_scaling": yarn(40, 0.707, 0.707)} | changes,
    )


def v3(**changes):
    return deepseek(
        "deepseek_v3", "DeepseekV3ForCausalLM",
        **{"n_routed_experts": 12, "n_group": 4, "topk_group": 2, "rope_scaling": yarn(40, 1.0, 1.0)} | changes,
    )


def k2(**changes):
    return deepseek(
        "kimi_k2", "DeepseekV3ForCausalLM",
        **{"rope_theta": 50000.0, "rope_scaling": yarn(32.0, 1.0, 1.0, 1.0, 1.0), "routed_scaling_factor": 2.827,
           "max_position_embeddings": 2048, "num_nextn_predict_layers": 0,
           "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config",
                        "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"}} | changes,
    )


def llama(model_type="llama", architecture="LlamaForCausalLM", **changes):
    c = {
        "architectures": [architecture], "model_type": model_type, "torch_dtype": "bfloat16",
        "vocab_size": VOCAB, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 72, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "rope_scaling": None, "max_position_embeddings": 2048, "attention_bias": False,
        "attention_dropout": 0.0, "tie_word_embeddings": False, "initializer_range": 0.02, "use_cache": True,
        "bos_token_id": 0, "eos_token_id": 1,
    }
    c.update({"mlp_bias": False, "pretraining_tp": 1} if model_type == "llama" else {})
    c.update(changes)
    return {k: v for k, v in c.items() if v is not ...}


def qwen3_moe(**changes):
    return llama(
        "qwen3_moe", "Qwen3MoeForCausalLM",
        **{"head_dim": 24, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "num_experts": 8, "num_experts_per_tok": 3,
           "moe_intermediate_size": 16, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [],
           "router_aux_loss_coef": 0.001, "output_router_logits": False, "sliding_window": None,
           "use_sliding_window": False, "max_window_layers": 3} | changes,
    )


R1_ROPE = {**yarn(40.0, 1.0, 0.6), "rope_type": "yarn", "rope_theta": 10000.0}
del R1_ROPE["type"]

# name -> (configuration, writing options, changes that must move the result or the fixture would test nothing)
VARIANTS = {
    "deepseek-v3": (
        v3(num_hidden_layers=3, first_k_dense_replace=2, num_nextn_predict_layers=1),
        {"mutations": ["zero mask", "group max", "biased weights", "plain softmax scale"]},
        [{"rope_scaling": None}, {"norm_topk_prob": False}, {"topk_group": 4}, {"rope_interleave": False},
         {"rope_scaling": yarn(40, 1.0, 0.0)}],
    ),
    "deepseek-v2-lite": (
        v2(q_lora_rank=None), {"mutations": ["plain softmax scale"]},
        [{"rope_scaling": None}, {"rope_scaling": yarn(40, 0.707, 1.0)}, {"routed_scaling_factor": 2.0}],
    ),
    "moonlight": (
        deepseek("deepseek_v3", "DeepseekV3ForCausalLM", q_lora_rank=None, rms_norm_eps=1e-5, rope_theta=50000.0,
                 rope_scaling=..., routed_scaling_factor=2.446, n_shared_experts=2, num_nextn_predict_layers=0,
                 max_position_embeddings=8192),
        {"small_latents": True, "mutations": ["latent epsilon", "biased weights"]},
        [{"norm_topk_prob": False}, {"rope_theta": 10000.0}, {"rope_interleave": False}],
    ),
    "kimi-k2": (
        k2(), {"shards": 3, "mutations": ["plain softmax scale"]},
        [{"rope_scaling": yarn(32.0, 1.0, 1.0)}, {"rope_scaling": None}, {"norm_topk_prob": False}],
    ),
    "llama": (llama(num_hidden_layers=2, intermediate_size=56), {"dtype": torch.float32}, [{"rms_norm_eps": 1e-2}]),
    "deepseek-v2": (
        v2(topk_method="group_limited_greedy", n_routed_experts=12, n_group=4, topk_group=2,
           routed_scaling_factor=6.0), {},
        [{"topk_method": "greedy"}, {"topk_group": 3}, {"rope_scaling": None}],
    ),
    "deepseek-r1": (
        v3(rope_scaling=..., rope_theta=..., rope_parameters=R1_ROPE, attention_bias=True, num_hidden_layers=2),
        {"mutations": ["no rope amplitude", "plain softmax scale"]},
        [{"rope_parameters": R1_ROPE | {"mscale": 0.6}}, {"rope_parameters": R1_ROPE | {"mscale_all_dim": 1.0}}],
    ),
    "deepseek-v3-nonint": (
        v3(rope_interleave=False, num_hidden_layers=2, n_routed_experts=6, n_group=2, topk_group=1,
           num_experts_per_tok=2),
        {"dtype": torch.float32}, [{"rope_interleave": True}],
    ),
    "deepseek-v3-fused": (v3(num_hidden_layers=2), {"fused": True}, []),
    "llama3-rope": (
        llama(tie_word_embeddings=True, rope_theta=500000.0, head_dim=16, rope_scaling={
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
            "rope_type": "llama3"}), {},
        [{"rope_scaling": None}],
    ),
    "llama-bias": (llama(attention_bias=True, mlp_bias=True, num_hidden_layers=2), {}, []),
    "llama-linear-rope": (
        llama(rope_scaling={"type": "linear", "factor": 4.0}, num_hidden_layers=2), {}, [{"rope_scaling": None}],
    ),
    "qwen3": (
        llama("qwen3", "Qwen3ForCausalLM", head_dim=24, rms_norm_eps=1e-6, rope_theta=1000000.0,
              sliding_window=None, use_sliding_window=False, max_window_layers=3, num_hidden_layers=2), {},
        [{"rope_theta": 10000.0}],
    ),
    "qwen3-moe": (qwen3_moe(num_hidden_layers=2), {}, [{"norm_topk_prob": False}]),
    "qwen3-moe-sparse": (
        qwen3_moe(num_hidden_layers=4, decoder_sparse_step=2, mlp_only_layers=[3], norm_topk_prob=False,
                  num_experts_per_tok=2, intermediate_size=56), {}, [{"norm_topk_prob": True}],
    ),
}


def fuse_experts(tensors, c):
    """transformers 5's memory layout: gate_up_proj [experts, 2 x width, hidden], down_proj [experts, hidden, width]."""
    out = {k: v for k, v in tensors.items() if ".mlp.experts." not in k}
    for i in range(c["first_k_dense_replace"], c["num_hidden_layers"]):
        prefix = f"model.layers.{i}.mlp.experts"
        part = lambda p: torch.stack([tensors[f"{prefix}.{e}.{p}.weight"] for e in range(c["n_routed_experts"])])
        out[f"{prefix}.gate_up_proj"] = torch.cat([part("gate_proj"), part("up_proj")], dim=1).contiguous()
        out[f"{prefix}.down_proj"] = part("down_proj").contiguous()
    return out


def write_folder(folder, c, tensors, shards=1):
    """config.json, generation_config.json and the weights, in one file or in shards with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / "config.json").write_text(json.dumps(c, indent=2) + "\n")
    generation = {"bos_token_id": c["bos_token_id"], "eos_token_id": c["eos_token_id"], "do_sample": True,
                  "temperature": 0.6, "top_p": 0.95}
    if c["model_type"] == "kimi_k2":  # as published: the turn's end differs from config.json's eos
        generation = {"eos_token_id": 2, "max_length": c["max_position_embeddings"]}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    if shards == 1:
        safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return
    names = list(tensors)
    place, total = {}, sum(t.numel() * t.element_size() for t in tensors.values())
    for s in range(shards):
        file = f"model-{s + 1:05d}-of-{shards:06d}.safetensors"  # K2's own spelling: five digits, then six
        part = names[len(names) * s // shards : len(names) * (s + 1) // shards]
        safetensors.torch.save_file({n: tensors[n] for n in part}, folder / file, {"format": "pt"})
        place.update({n: file for n in part})
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(place.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def must_matter(base, c, tensors, changes, tokens):
    """Each change of the configuration has to move the 600-token case, else the fixture would not see that error."""
    for change in changes:
        other = golden.logprobs(golden.reference_model(c | change, tensors), tokens)
        moved = (other - base).abs().max().item()
        assert moved > 1e-2, (change, moved)
        print(f"    {json.dumps(change)[:90]}: moves {moved:.3f}")


def build(name, folder, seed):
    c, options, changes = copy.deepcopy(VARIANTS[name])
    dtype = options.get("dtype", torch.bfloat16)
    if dtype == torch.float32:
        c["torch_dtype"] = "float32"
    small = c["kv_lora_rank"] if options.get("small_latents") else False
    tensors = weights.make(weights.entries(c), seed, dtype, small)
    plain = tensors
    if options.get("fused"):
        tensors = fuse_experts(tensors, c)
    write_folder(folder, c, tensors, options.get("shards", 1))
    model = golden.reference_model(c, tensors)
    result = golden.golden(model, c["vocab_size"], seed)
    golden.write_json(folder / "golden.json", result)
    tokens = result["cases"][-1]["tokens"]
    base = golden.logprobs(model, tokens)
    must_matter(base, c, tensors, changes, tokens)
    mutations.check(options.get("mutations", []), c, tensors, tokens, base)
    if options.get("fused"):  # both spellings are the same model
        assert torch.equal(golden.logprobs(golden.reference_model(c, plain), tokens), base)
    if c.get("num_nextn_predict_layers"):  # MTP tensors must not matter
        extra = f"model.layers.{c['num_hidden_layers']}."
        without = {k: v for k, v in tensors.items() if not k.startswith(extra)}
        assert len(without) < len(tensors)
        assert torch.equal(golden.logprobs(golden.reference_model(c, without), tokens), base)
        mtp.write(folder, c["num_hidden_layers"], [case["tokens"] for case in result["cases"]])
