"""Safetensors variants with quantized weights: compressed-tensors INT4/INT8 and DeepSeek's FP8 blocks."""

import copy
import math

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from compressed_tensors.utils import match_name

from . import golden, weights
from .plain import VOCAB, k2, llama, must_matter, v3, write_folder, yarn


def pack_config(bits, strategy, group_size, ignore):
    """The block Kimi-K2-Thinking ships, with other widths and strategies for the other variants."""
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "global_compression_ratio": None,
        "kv_cache_scheme": None,
        "ignore": ignore,
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "input_activations": None,
                "output_activations": None,
                "weights": {
                    "num_bits": bits, "type": "int", "symmetric": True, "strategy": strategy, "group_size": group_size,
                    "dynamic": False, "actorder": None, "block_structure": None, "observer": "minmax",
                    "observer_kwargs": {},
                },
            }
        },
    }


FP8_CONFIG = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
K2_IGNORE = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"]


def int_llama(bits, strategy, group, **shape):
    packing = pack_config(bits, strategy, group, ["lm_head"])
    return llama(quantization_config=packing, num_hidden_layers=2, **shape)


VARIANTS = {
    "kimi-k2-thinking": (
        k2(moe_intermediate_size=32, n_routed_experts=8, rms_norm_eps=1e-5, rope_scaling=yarn(64.0, 1.0, 1.0, 1.0, 1.0),
           max_position_embeddings=4096, quantization_config=pack_config(4, "group", 32, K2_IGNORE)),
        {"shards": 2}, [{"rope_scaling": None}],
    ),
    "int4-g64": (int_llama(4, "group", 64, hidden_size=64, intermediate_size=192), {}, []),
    "int4-g128": (
        int_llama(4, "group", 128, hidden_size=128, intermediate_size=128, tie_word_embeddings=True), {}, [],
    ),
    # 100 is no multiple of 8 (nor of 32): a packed row ends inside a word's padding
    "int4-channel": (int_llama(4, "channel", None, intermediate_size=100), {}, []),
    "int8-g32": (int_llama(8, "group", 32, hidden_size=64, intermediate_size=96), {}, []),
    "int8-channel": (int_llama(8, "channel", None, intermediate_size=102), {"scales": torch.float32}, []),
    "deepseek-v3-fp8": (
        v3(hidden_size=160, num_hidden_layers=2, intermediate_size=144, moe_intermediate_size=24,
           n_routed_experts=6, n_group=2, topk_group=1, num_experts_per_tok=2, q_lora_rank=48, kv_lora_rank=120,
           qk_nope_head_dim=32, v_head_dim=40, quantization_config=FP8_CONFIG),
        {}, [{"rope_scaling": None}],
    ),
}


def is_quantized(name, tensor, config):
    """Linear modules that the ignore rules leave: never embeddings, norms or the router (which is no Linear)."""
    if tensor.ndim != 2 or not name.endswith(".weight") or name.endswith((".mlp.gate.weight", "embed_tokens.weight")):
        return False
    module = name.removesuffix(".weight")
    return not any(match_name(module, rule) for rule in config.get("ignore", ["lm_head"]))


def pack(tensors, config, scale_dtype):
    """(tensors as stored, weights as compressed-tensors decompresses them, the same without rounding to BF16).

    The library gives weights in the scales' type, so that BF16 scales round every product. transformers casts the
    scales when it loads a model in fp32, and the products are then exact.
    """
    group = config["config_groups"]["group_0"]
    args = QuantizationArgs(**{k: v for k, v in group["weights"].items() if k != "block_structure"})
    scheme = QuantizationScheme(targets=group["targets"], weights=args)
    compressor = BaseCompressor.load_from_registry("pack-quantized")
    stored, plain, exact = {}, {}, {}
    for name, tensor in tensors.items():
        if not is_quantized(name, tensor, config):
            stored[name] = plain[name] = exact[name] = tensor
            continue
        groups = tensor.float().unflatten(-1, (-1, args.group_size or tensor.shape[-1]))
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        state = {"weight": tensor, "weight_scale": scale.to(scale_dtype), "weight_zero_point": zero}
        packed = compressor.compress(state, scheme)
        packed.pop("weight_zero_point", None)
        module = name.removesuffix(".weight")
        stored.update({f"{module}.{k}": v.contiguous() for k, v in packed.items()})
        plain[name] = compressor.decompress(packed, scheme)["weight"].contiguous()
        wide = packed | {"weight_scale": packed["weight_scale"].float()}
        exact[name] = compressor.decompress(wide, scheme)["weight"].contiguous()
        assert plain[name].dtype == scale_dtype and plain[name].shape == tensor.shape
        assert torch.equal(plain[name], exact[name].to(scale_dtype))
        error = (plain[name].float() - tensor.float()).abs().max() / tensor.float().abs().max()
        assert error < 0.6 / (2 ** (args.num_bits - 1) - 1) + 2**-8, error  # half a step, and bf16
    return stored, plain, exact


def fp8_blocks(tensors, config):
    """DeepSeek's layout: F8_E4M3 weights, F32 `weight_scale_inv` per 128x128 block, which multiplies.

    transformers' own loader is no reference here: Fp8Dequantize (5.23) takes rows / scale rows for a block's height, so
    that an edge block which is not full shifts every block (160 rows become two of 80) or is refused (576 / 5).
    """
    rows, columns = config["weight_block_size"]
    stored, plain = {}, {}
    for name, tensor in tensors.items():
        if not is_quantized(name, tensor, config):
            stored[name] = plain[name] = tensor
            continue
        # Blocks of very different size, so that a wrong block index shows
        spread = torch.rand(math.ceil(tensor.shape[0] / rows), math.ceil(tensor.shape[1] / columns),
                            generator=torch.Generator().manual_seed(len(name))) + 0.5
        height, width = tensor.shape
        full = lambda s: s.repeat_interleave(rows, 0).repeat_interleave(columns, 1)[:height, :width]
        w = tensor.float() * full(spread)
        scale = torch.empty_like(spread)
        for i in range(spread.shape[0]):
            for j in range(spread.shape[1]):
                block = w[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
                scale[i, j] = block.abs().max() / 448
        q = (w / full(scale)).to(torch.float8_e4m3fn)
        stored[name], stored[f"{name}_scale_inv"] = q, scale
        plain[name] = (q.float() * full(scale)).contiguous()
    return stored, plain


def build(name, folder, seed):
    c, options, changes = copy.deepcopy(VARIANTS[name])
    config = c["quantization_config"]
    tensors = weights.make(weights.entries(c), seed)
    if config["quant_method"] == "compressed-tensors":
        stored, plain, exact = pack(tensors, config, options.get("scales", torch.bfloat16))
    else:
        stored, plain = fp8_blocks(tensors, config)
        exact = plain
    print(f"    {sum(n.endswith(('weight_packed', 'scale_inv')) for n in stored)} quantized matrices")
    write_folder(folder, c, stored, options.get("shards", 1))
    model = golden.reference_model(c, plain)
    result = golden.golden(model, VOCAB, seed)
    golden.write_json(folder / "golden.json", result)
    if any(not torch.equal(plain[k].float(), exact[k].float()) for k in plain):
        unrounded = golden.golden(golden.reference_model(c, exact), VOCAB, seed)
        golden.write_json(folder / "golden-unrounded.json", unrounded)
    tokens = result["cases"][-1]["tokens"]
    base = golden.logprobs(model, tokens)
    must_matter(base, c, plain, changes, tokens)
    moved = (golden.logprobs(golden.reference_model(c, tensors), tokens) - base).abs().max().item()
    print(f"    before quantization: {moved:.3f} away")
    assert moved > 1e-2
