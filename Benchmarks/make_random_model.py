"""Writes a model of Moonlight's shape with random weights, for benchmarks: what it says is noise, what it costs is real.

    python3 Benchmarks/make_random_model.py gguf FOLDER/model.gguf [--layers N] [--small]
    python3 Benchmarks/make_random_model.py int4 FOLDER [--layers N] [--small] [--all-int4]
    python3 Benchmarks/make_random_model.py int4 FOLDER --k2 --layers 2 --vocabulary 65536

gguf: Q4_0 for experts and attention, Q8_0 for embedding and head, F32 for norms and routers; MLA tensors as llama.cpp has
them since its pull request 12801. int4: compressed-tensors safetensors as Kimi K2 Thinking has them, routed experts INT4 in
groups of 32, the rest BF16, shards and index. A file model.json beside the GGUF, or walet-benchmark.json in the folder, says
how many bytes a decode step reads. Tensors are drawn and written one after the other, so memory stays below 1 GB.

--layers: ik_llama.cpp takes a model without query compression at 26 and 27 layers only, so other numbers are for Walet and
llama.cpp. --small has all 27 layers, each narrow, for all three. --k2 has layers as wide as Kimi K2's, with 384 experts, of
which the first is dense (but queries are not compressed): 9.5 GB of experts a further layer. --all-int4 has attention, shared
experts and the dense layer in INT4 too, as compressed-tensors writes a model of which only lm_head is ignored.
"""
import argparse
import dataclasses
import json
import math
import pathlib
import shutil
import struct

import numpy

CONTEXT = 131072


@dataclasses.dataclass
class Shape:
    layers: int = 27
    dense_layers: int = 1
    hidden: int = 2048
    heads: int = 16
    latent: int = 512
    rope: int = 64
    nope: int = 128
    value: int = 128
    dense_width: int = 11264
    experts: int = 64
    active: int = 6
    shared: int = 2
    expert_width: int = 1408
    vocabulary: int = 163840
    scale: float = 2.446
    epsilon: float = 1e-5
    theta: float = 50000.0
    all_int4: bool = False


K2 = dict(hidden=7168, heads=64, dense_width=18432, experts=384, active=8, shared=1, expert_width=2048, scale=2.827)
SMALL = dict(hidden=256, heads=4, dense_width=512, experts=8, active=2, expert_width=128, vocabulary=4096)


class Draws:
    """Random bytes of quantized weights with a standard deviation of 1/sqrt(inputs), so that activations stay near 1."""

    CHUNK = 1 << 26
    # Nibbles 1 to 15: the values -7 to 7, with mean zero (0 would be -8 and tilt every sum).
    NIBBLES = numpy.array([(b & 0xF0 or 0x80) | (b & 15 or 8) for b in range(256)], numpy.uint8)
    # Standard deviation of those values: squares of -7...7, and zero twice.
    DEVIATION = math.sqrt(2 * sum(i * i for i in range(1, 8)) / 16)

    def __init__(self, seed):
        self.random = numpy.random.Generator(numpy.random.SFC64(seed))

    def bytes(self, count):
        words = self.random.integers(0, 1 << 64, (count + 7) // 8, numpy.uint64)
        return words.view(numpy.uint8)[:count]

    def nibbles(self, count):
        return self.NIBBLES[self.bytes(count)]

    def scales(self, count, deviation):
        """Scales that differ by up to a fifth, as float32."""
        return (deviation * (0.8 + 0.4 * self.random.random(count, numpy.float32))).astype(numpy.float32)

    def pieces(self, blocks, block_bytes):
        step = self.CHUNK // block_bytes
        for start in range(0, blocks, step):
            yield min(step, blocks - start)

    def q4_0(self, elements, inputs):
        for count in self.pieces(elements // 32, 18):
            blocks = numpy.empty((count, 18), numpy.uint8)
            scale = self.scales(count, 1 / math.sqrt(inputs) / self.DEVIATION).astype("<f2")
            blocks[:, :2] = scale.view(numpy.uint8).reshape(count, 2)
            blocks[:, 2:] = self.nibbles(count * 16).reshape(count, 16)
            yield blocks

    def q8_0(self, elements, inputs):
        for count in self.pieces(elements // 32, 34):
            blocks = numpy.empty((count, 34), numpy.uint8)
            scale = self.scales(count, 1 / math.sqrt(inputs) / 73.9).astype("<f2")
            blocks[:, :2] = scale.view(numpy.uint8).reshape(count, 2)
            blocks[:, 2:] = self.bytes(count * 32).reshape(count, 32)
            yield blocks

    def f32(self, elements, inputs):
        for count in self.pieces(elements, 4):
            yield self.normal(count, inputs).astype("<f4")

    def bf16(self, elements, inputs):
        for count in self.pieces(elements, 4):
            yield bfloat16(self.normal(count, inputs))

    def normal(self, count, inputs):
        return self.random.standard_normal(count, numpy.float32) * numpy.float32(1 / math.sqrt(inputs))


def bfloat16(values):
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2")


def constant(value, count, kind):
    values = numpy.full(count, value, "<f4")
    return [bfloat16(values) if kind == "BF16" else values]


# GGUF


def gguf_tensors(shape):
    """(name, shape slowest first, type) of every tensor, in file order, and whether a decode step reads all of it."""
    s = shape
    yield "token_embd.weight", (s.vocabulary, s.hidden), "Q8_0"
    for layer in range(s.layers):
        b = f"blk.{layer}."
        yield b + "attn_norm.weight", (s.hidden,), "F32"
        yield b + "attn_q.weight", (s.heads * (s.nope + s.rope), s.hidden), "Q4_0"
        yield b + "attn_kv_a_mqa.weight", (s.latent + s.rope, s.hidden), "Q4_0"
        yield b + "attn_kv_a_norm.weight", (s.latent,), "F32"
        yield b + "attn_k_b.weight", (s.heads, s.latent, s.nope), "Q4_0"
        yield b + "attn_v_b.weight", (s.heads, s.value, s.latent), "Q4_0"
        yield b + "attn_output.weight", (s.hidden, s.heads * s.value), "Q4_0"
        yield b + "ffn_norm.weight", (s.hidden,), "F32"
        if layer < s.dense_layers:
            yield b + "ffn_gate.weight", (s.dense_width, s.hidden), "Q4_0"
            yield b + "ffn_up.weight", (s.dense_width, s.hidden), "Q4_0"
            yield b + "ffn_down.weight", (s.hidden, s.dense_width), "Q4_0"
            continue
        yield b + "ffn_gate_inp.weight", (s.experts, s.hidden), "F32"
        yield b + "exp_probs_b.bias", (s.experts,), "F32"
        yield b + "ffn_gate_exps.weight", (s.experts, s.expert_width, s.hidden), "Q4_0"
        yield b + "ffn_up_exps.weight", (s.experts, s.expert_width, s.hidden), "Q4_0"
        yield b + "ffn_down_exps.weight", (s.experts, s.hidden, s.expert_width), "Q4_0"
        yield b + "ffn_gate_shexp.weight", (s.shared * s.expert_width, s.hidden), "Q4_0"
        yield b + "ffn_up_shexp.weight", (s.shared * s.expert_width, s.hidden), "Q4_0"
        yield b + "ffn_down_shexp.weight", (s.hidden, s.shared * s.expert_width), "Q4_0"
    yield "output_norm.weight", (s.hidden,), "F32"
    yield "output.weight", (s.vocabulary, s.hidden), "Q8_0"


def byte_alphabet():
    """GPT-2's letter for every byte, in byte order."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = [], 0
    for byte in range(256):
        if byte in visible:
            letters.append(chr(byte))
        else:
            letters.append(chr(256 + extra))
            extra += 1
    return letters


def write_gguf(shape, path, draws):
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    s = shape
    w = gguf.GGUFWriter(partial, "deepseek2")
    w.add_name(f"random, Moonlight's shape, {s.layers} layers")
    w.add_block_count(s.layers)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(s.hidden)
    w.add_feed_forward_length(s.dense_width)
    w.add_head_count(s.heads)
    w.add_head_count_kv(1)
    w.add_rope_freq_base(s.theta)
    w.add_rope_dimension_count(s.rope)
    w.add_layer_norm_rms_eps(s.epsilon)
    w.add_vocab_size(s.vocabulary)
    w.add_leading_dense_block_count(s.dense_layers)
    w.add_kv_lora_rank(s.latent)
    w.add_key_length(s.latent + s.rope)
    w.add_value_length(s.latent)
    w.add_key_length_mla(s.nope + s.rope)
    w.add_value_length_mla(s.value)
    w.add_expert_count(s.experts)
    w.add_expert_used_count(s.active)
    w.add_expert_shared_count(s.shared)
    w.add_expert_feed_forward_length(s.expert_width)
    w.add_expert_weights_scale(s.scale)
    w.add_expert_weights_norm(True)
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if s.layers not in (26, 27):
        w.add_q_lora_rank(0)  # llama.cpp asks for the key at other depths and takes 0 for "not compressed"
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)

    # A vocabulary that loads: one token a byte, one merge, two control tokens, the rest unused.
    letters = byte_alphabet()
    tokens = letters + ["he", "<|begin|>", "<|end|>"]
    kinds = [gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * 2
    tokens += [f"[PAD{i}]" for i in range(len(tokens), s.vocabulary)]
    kinds += [gguf.TokenType.UNUSED] * (s.vocabulary - len(kinds))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges(["h e"])
    w.add_bos_token_id(257)
    w.add_eos_token_id(258)
    w.add_add_bos_token(False)

    types = {
        "Q4_0": gguf.GGMLQuantizationType.Q4_0, "Q8_0": gguf.GGMLQuantizationType.Q8_0,
        "F32": gguf.GGMLQuantizationType.F32,
    }
    tensors = [(name, dims, kind, gguf_bytes(dims, kind)) for name, dims, kind in gguf_tensors(s)]
    for name, dims, kind, size in tensors:
        w.add_tensor_info(name, dims, numpy.dtype(numpy.float32), size, types[kind])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    file = w.fout[0]
    w.write_padding(file, file.tell())
    read = 0
    for name, dims, kind, size in tensors:
        start = file.tell()
        for piece in gguf_data(name, dims, kind, draws):
            file.write(memoryview(piece).cast("B"))
        assert file.tell() - start == size, name
        w.write_padding(file, size)
        read += read_a_token(s, name.startswith("token_embd"), "_exps." in name, dims, size)
    w.close()
    partial.rename(path)
    note = {"shape": dataclasses.asdict(s), "format": "GGUF Q4_0/Q8_0", "file_bytes": path.stat().st_size,
            "bytes_read_per_token": read, "kv_values_per_token_and_layer": s.latent + s.rope}
    (path.parent / "model.json").write_text(json.dumps(note, indent=1) + "\n")
    return note


def read_a_token(shape, is_embedding, is_routed, dims, size):
    """Bytes of a tensor that one decode step reads."""
    if is_embedding:
        return size // shape.vocabulary
    return size * shape.active // shape.experts if is_routed else size


def gguf_bytes(dims, kind):
    elements = math.prod(dims)
    return {"Q4_0": elements // 32 * 18, "Q8_0": elements // 32 * 34, "F32": elements * 4}[kind]


def gguf_data(name, dims, kind, draws):
    elements = math.prod(dims)
    if name.endswith("norm.weight"):
        return constant(1, elements, kind)
    if name.endswith(".bias"):
        return constant(0, elements, kind)
    # The embedding's rows are inputs, not sums: standard deviation 1. The stored k_b is transposed: its sums have as many
    # terms as the latent.
    inputs = 1 if name.startswith("token_embd") else dims[1] if "attn_k_b" in name else dims[-1]
    return {"Q4_0": draws.q4_0, "Q8_0": draws.q8_0, "F32": draws.f32}[kind](elements, inputs)


# Safetensors


def int4_tensors(shape):
    """(module, [out, in] or [n], "INT4", "BF16" or "F32") of every tensor in the order of the layers."""
    s = shape
    linear = "INT4" if s.all_int4 else "BF16"
    yield "model.embed_tokens", (s.vocabulary, s.hidden), "BF16"
    for layer in range(s.layers):
        b = f"model.layers.{layer}."
        yield b + "input_layernorm", (s.hidden,), "BF16"
        yield b + "self_attn.q_proj", (s.heads * (s.nope + s.rope), s.hidden), linear
        yield b + "self_attn.kv_a_proj_with_mqa", (s.latent + s.rope, s.hidden), linear
        yield b + "self_attn.kv_a_layernorm", (s.latent,), "BF16"
        yield b + "self_attn.kv_b_proj", (s.heads * (s.nope + s.value), s.latent), linear
        yield b + "self_attn.o_proj", (s.hidden, s.heads * s.value), linear
        yield b + "post_attention_layernorm", (s.hidden,), "BF16"

        def mlp(prefix, width, kind):
            yield prefix + "gate_proj", (width, s.hidden), kind
            yield prefix + "up_proj", (width, s.hidden), kind
            yield prefix + "down_proj", (s.hidden, width), kind

        if layer < s.dense_layers:
            yield from mlp(b + "mlp.", s.dense_width, linear)
            continue
        yield b + "mlp.gate", (s.experts, s.hidden), "BF16"
        yield b + "mlp.gate.e_score_correction_bias", (s.experts,), "F32"
        for expert in range(s.experts):
            yield from mlp(f"{b}mlp.experts.{expert}.", s.expert_width, "INT4")
        yield from mlp(b + "mlp.shared_experts.", s.shared * s.expert_width, linear)
    yield "model.norm", (s.hidden,), "BF16"
    yield "lm_head", (s.vocabulary, s.hidden), "BF16"


def stored(module, dims, kind):
    """The file's tensors of a module: (name, dtype, shape, bytes)."""
    if kind == "INT4":
        out, inputs = dims
        yield module + ".weight_packed", "I32", [out, inputs // 8], out * inputs // 2
        yield module + ".weight_scale", "BF16", [out, inputs // 32], out * inputs // 32 * 2
        yield module + ".weight_shape", "I64", [2], 16
    elif kind == "F32":
        yield module, "F32", list(dims), math.prod(dims) * 4
    else:
        yield module + ".weight", "BF16", list(dims), math.prod(dims) * 2


def int4_data(name, module, dims, kind, draws):
    if kind == "INT4":
        out, inputs = dims
        if name.endswith("packed"):
            return (draws.nibbles(count * 64) for count in draws.pieces(out * inputs // 128, 64))
        if name.endswith("scale"):
            return [bfloat16(draws.scales(out * inputs // 32, 1 / math.sqrt(inputs) / draws.DEVIATION))]
        return [numpy.array([out, inputs], "<i8")]
    elements = math.prod(dims)
    if len(dims) == 1:
        return constant(0 if kind == "F32" else 1, elements, kind)
    return draws.bf16(elements, 1 if "embed_tokens" in module else dims[-1])


def int4_config(shape):
    s = shape
    return {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "torch_dtype": "bfloat16",
        "vocab_size": s.vocabulary, "hidden_size": s.hidden, "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads, "num_key_value_heads": s.heads, "intermediate_size": s.dense_width,
        "moe_intermediate_size": s.expert_width, "q_lora_rank": None, "kv_lora_rank": s.latent,
        "qk_nope_head_dim": s.nope, "qk_rope_head_dim": s.rope, "v_head_dim": s.value, "n_routed_experts": s.experts,
        "n_shared_experts": s.shared, "num_experts_per_tok": s.active, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": s.dense_layers, "moe_layer_freq": 1, "scoring_func": "sigmoid",
        "topk_method": "noaux_tc", "norm_topk_prob": True, "routed_scaling_factor": s.scale, "hidden_act": "silu",
        "rms_norm_eps": s.epsilon, "rope_theta": s.theta, "rope_scaling": None, "max_position_embeddings": CONTEXT,
        "attention_bias": False, "tie_word_embeddings": False, "num_nextn_predict_layers": 0,
        "bos_token_id": 257, "eos_token_id": 258,
        "quantization_config": {
            "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
            "kv_cache_scheme": None,
            "ignore": ["lm_head"] + ([] if s.all_int4 else [
                "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]),
            "config_groups": {"group_0": {
                "targets": ["Linear"], "input_activations": None, "output_activations": None,
                "weights": {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32,
                            "dynamic": False, "actorder": None, "block_structure": None, "observer": "minmax",
                            "observer_kwargs": {}},
            }},
        },
    }


def tokenizer_json(shape):
    """The tokenizer of the GGUF as a tokenizer.json."""
    letters = byte_alphabet()
    vocabulary = {letter: i for i, letter in enumerate(letters)} | {"he": 256}
    # Ids past the vocabulary stay without a text, as the reserved ids of published models do.
    special = lambda i, text: {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                               "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special(257, "<|begin|>"), special(258, "<|end|>")], "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary, "merges": ["h e"]},
    }


def write_int4(shape, folder, draws, shard_bytes=2 << 30):
    s = shape
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shards, size = [[]], 0
    for module, dims, kind in int4_tensors(s):
        for name, dtype, stored_shape, count in stored(module, dims, kind):
            if size + count > shard_bytes and shards[-1]:
                shards.append([])
                size = 0
            shards[-1].append((name, module, dims, kind, dtype, stored_shape, count))
            size += count
    if len(shards) == 1 and len(shards[0]) > 1:  # several shards even of a small model
        middle = len(shards[0]) // 2
        shards = [shards[0][:middle], shards[0][middle:]]
    weight_map, total, read = {}, 0, 0
    for number, shard in enumerate(shards, 1):
        file_name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for name, _, _, _, dtype, stored_shape, count in shard:
            header[name] = {"dtype": dtype, "shape": stored_shape, "data_offsets": [offset, offset + count]}
            weight_map[name] = file_name
            offset += count
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(partial / file_name, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name, module, dims, kind, _, _, count in shard:
                start = file.tell()
                for piece in int4_data(name, module, dims, kind, draws):
                    file.write(memoryview(numpy.ascontiguousarray(piece)).cast("B"))
                assert file.tell() - start == count, name
                if not name.endswith("weight_shape"):
                    read += read_a_token(s, "embed_tokens" in name, ".experts." in name, dims, count)
        total += offset
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (partial / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (partial / "config.json").write_text(json.dumps(int4_config(s), indent=1) + "\n")
    (partial / "tokenizer.json").write_text(json.dumps(tokenizer_json(s)) + "\n")
    (partial / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>", "eos_token": "<|end|>",
         "add_bos_token": False}) + "\n")
    note = {"shape": dataclasses.asdict(s), "format": "compressed-tensors INT4, BF16", "file_bytes": total,
            "bytes_read_per_token": read, "kv_values_per_token_and_layer": s.latent + s.rope}
    (partial / "walet-benchmark.json").write_text(json.dumps(note, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return note


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("format", choices=["gguf", "int4"])
    parser.add_argument("path", type=pathlib.Path, help="the .gguf file, or the folder of safetensors")
    parser.add_argument("--layers", type=int, default=27)
    parser.add_argument("--small", action="store_true", help="narrow layers: some MB, for tests of the harness")
    parser.add_argument("--k2", action="store_true", help="layers of Kimi K2's width")
    parser.add_argument("--all-int4", action="store_true", help="int4: all but embedding, routers and head in INT4")
    parser.add_argument("--vocabulary", type=int, help="rows of embedding and head")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.layers < 1:
        parser.error("--layers must be 1 or more")
    sizes = dict(K2 if arguments.k2 else SMALL if arguments.small else {})
    if arguments.vocabulary:
        sizes["vocabulary"] = arguments.vocabulary
    if arguments.all_int4 and arguments.format != "int4":
        parser.error("--all-int4 is for int4")
    shape = Shape(layers=arguments.layers, all_int4=arguments.all_int4, **sizes)
    write = write_gguf if arguments.format == "gguf" else write_int4
    print(json.dumps(write(shape, arguments.path, Draws(arguments.seed))))


if __name__ == "__main__":
    main()
