"""Reading GGUF files with the `gguf` package and quantizing for the writers of fixtures."""

import numpy
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize


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


DEEPSEEK_NAMES = LLAMA_NAMES | {
    "attn_q_a": "self_attn.q_a_proj", "attn_q_a_norm": "self_attn.q_a_layernorm", "attn_q_b": "self_attn.q_b_proj",
    "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa", "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    "attn_kv_b": "self_attn.kv_b_proj", "ffn_gate_shexp": "mlp.shared_experts.gate_proj",
    "ffn_up_shexp": "mlp.shared_experts.up_proj", "ffn_down_shexp": "mlp.shared_experts.down_proj",
}


def deepseek_weights(tensors):
    """GGUF tensors of a deepseek2 file (either generation of MLA tensors) under their Hugging Face names."""
    plain, out = {}, {}
    for name, tensor in tensors.items():
        prefix, _, kind = name.rpartition(".")[0].rpartition(".")
        layer = f"model.layers.{prefix.removeprefix('blk.')}"
        if kind == "exp_probs_b":
            out[f"{layer}.mlp.gate.e_score_correction_bias"] = tensor
        elif kind == "attn_k_b":  # [heads, rank, nope], stored transposed; attn_v_b is [heads, value, rank]
            values = tensors[f"{prefix}.attn_v_b.weight"]
            joined = torch.cat([tensor.transpose(1, 2), values], dim=1)
            out[f"{layer}.self_attn.kv_b_proj.weight"] = joined.reshape(-1, joined.shape[-1]).contiguous()
        elif kind in DEEPSEEK_NAMES:
            out[f"{layer}.{DEEPSEEK_NAMES[kind]}.weight"] = tensor
        elif kind != "attn_v_b":
            plain[name] = tensor
    return out | llama_weights(plain, 0, 0, permuted=False)


# K types: where the fp16 scale (and the fp16 minimum) of a block lies, and minimum/scale for weights around zero
SCALE_FIELDS = {
    "Q2_K": (80, 82, 1.5), "Q3_K": (108, None, 0), "Q4_K": (0, 2, 7.5), "Q5_K": (0, 2, 15.5), "Q6_K": (208, None, 0),
    "IQ4_XS": (0, None, 0),
}
IQ4_VALUES = numpy.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], numpy.float32)


def random_blocks(kind, shape, std, rng):
    """Random bits with sane scales: every value of every field occurs, and the weights have the wanted spread."""
    kind_id = GGMLQuantizationType[kind]
    block, size = GGML_QUANT_SIZES[kind_id]
    raw = rng.integers(0, 256, (int(numpy.prod(shape)) // block, size), dtype=numpy.uint8)
    scale_at, minimum_at, ratio = SCALE_FIELDS[kind]
    if kind == "Q6_K":  # int8 group scales of the size real files have
        raw[:, 192:208] = (raw[:, 192:208].view(numpy.int8) // 4).view(numpy.uint8)
    scale = rng.uniform(0.5, 1.5, (len(raw), 1)).astype(numpy.float32)

    def put(factor):
        raw[:, scale_at : scale_at + 2] = (scale * factor).astype(numpy.float16).view(numpy.uint8)
        if minimum_at is not None:
            raw[:, minimum_at : minimum_at + 2] = (scale * factor * ratio).astype(numpy.float16).view(numpy.uint8)

    put(0.01)
    put(0.01 * std / dequantize(raw, kind_id).std())
    return raw.reshape(*shape[:-1], shape[-1] // block * size)


def iq4_nl(values):
    """Nearest entry of the table with d = largest magnitude / -127 (the table's longer side takes it)."""
    blocks = values.reshape(-1, 32)
    largest = numpy.take_along_axis(blocks, abs(blocks).argmax(-1)[:, None], -1)
    d = (largest / IQ4_VALUES[0]).astype(numpy.float16)
    index = abs(d.astype(numpy.float32)[..., None] * IQ4_VALUES - blocks[..., None]).argmin(-1).astype(numpy.uint8)
    packed = index[:, :16] | index[:, 16:] << 4
    raw = numpy.concatenate([d.view(numpy.uint8), packed], axis=1)
    return raw.reshape(*values.shape[:-1], values.shape[-1] // 32 * 18)


def encode(tensor, kind, rng):
    """(array, ggml type or None) for GGUFWriter.add_tensor."""
    values = tensor.float().numpy()
    if kind in ("F32", "F16"):
        return values.astype(numpy.float32 if kind == "F32" else numpy.float16), None
    kind_id = GGMLQuantizationType[kind]
    if kind in SCALE_FIELDS:
        return random_blocks(kind, values.shape, values.std(), rng), kind_id
    return (iq4_nl(values) if kind == "IQ4_NL" else quantize(values, kind_id)), kind_id


def tokenizer(writer, pre, vocab):
    """A byte-level BPE of `vocab` tokens: 4 control tokens, 256 bytes, merges of common letters."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]
    pairs = [(a, b) for a in "Ġetaoinshr" for b in "etaoinshrd"]
    tokens = ["<|begin|>", "<|end|>", "<|pad|>", "<|user|>"] + letters
    merges = []
    for a, b in pairs:
        if len(tokens) == vocab:
            break
        tokens.append(a + b)
        merges.append(f"{a} {b}")
    assert len(tokens) == len(set(tokens)) == vocab
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 4 + [1] * (vocab - 4))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
