"""Reading GGUF files with the `gguf` package and quantizing for the writers of fixtures."""

import numpy
import torch
from gguf import GGUFReader, GGMLQuantizationType
from gguf.quants import dequantize


def read(paths):
    """(field name -> Python value of the first part, tensor name -> fp32 torch tensor) of one or several parts."""
    fields, tensors = {}, {}
    for path in paths:
        reader = GGUFReader(path)
        for name, field in reader.fields.items():
            fields.setdefault(name, field.contents())
        for tensor in reader.tensors:
            values = dequantize(tensor.data, tensor.tensor_type)
            shape = [int(n) for n in reversed(tensor.shape)]  # GGUF lists the fastest dimension first
            tensors[tensor.name] = torch.from_numpy(numpy.array(values, dtype=numpy.float32)).reshape(shape)
    return fields, tensors


def unpermute(weight, heads):
    """Undoes llama.cpp's row permutation of attn_q and attn_k: adjacent pairs back to Hugging Face's two halves."""
    rows = weight.shape[0] // heads
    return weight.reshape(heads, rows // 2, 2, -1).transpose(1, 2).reshape(weight.shape).contiguous()


def permute(weight, heads):
    """What llama.cpp's converter does to q_proj and k_proj (and their biases) of llama models."""
    rows = weight.shape[0] // heads
    return weight.reshape(heads, 2, rows // 2, -1).transpose(1, 2).reshape(weight.shape).contiguous()


LLAMA_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate",
}
OUTER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def llama_weights(tensors, heads, kv_heads, permuted):
    """GGUF tensors of a llama, qwen3 or qwen3moe file under their Hugging Face names."""
    out = {}
    for name, tensor in tensors.items():
        if name == "rope_freqs.weight":
            continue
        parts = name.split(".")
        if parts[0] != "blk":
            out[f"{OUTER_NAMES[parts[0]]}.weight"] = tensor
            continue
        layer, kind = parts[1], parts[2]
        prefix = f"model.layers.{layer}"
        if kind.endswith("_exps"):
            for expert in range(tensor.shape[0]):
                projection = kind.removeprefix("ffn_").removesuffix("_exps")
                out[f"{prefix}.mlp.experts.{expert}.{projection}_proj.weight"] = tensor[expert].contiguous()
            continue
        if permuted and kind in ("attn_q", "attn_k"):
            tensor = unpermute(tensor, heads if kind == "attn_q" else kv_heads)
        out[f"{prefix}.{LLAMA_NAMES[kind]}.{parts[3]}"] = tensor
    return out
