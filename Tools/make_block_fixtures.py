"""Writes Tests/Fixtures/blocks: packed matrices and the floats that the reference implementations make of them.

Needs (Python 3.11):
    pip install gguf==0.19.0 compressed-tensors==0.20.0 torch==2.13.0 numpy==2.4.6
Run:
    python Tools/make_block_fixtures.py

A file is little-endian: the magic WKFX, ten u32 (packing, scale packing, rows, cols, bytes of a row, rows of a group,
columns of a group, scales in a row of scales, bytes of data, bytes of scales), the data, the scales, rows * cols f32.
"""

import pathlib
import struct

import gguf
import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "blocks"
GGML = gguf.GGMLQuantizationType
SCALE_PACKINGS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}

# name: (wk_packing, offsets of the fp16 scales in a block)
BLOCKS = {
    "F32": (0, []), "F16": (1, []), "BF16": (2, []),
    "Q4_0": (3, [0]), "Q4_1": (4, [0, 2]), "Q5_0": (5, [0]), "Q5_1": (6, [0, 2]), "Q8_0": (7, [0]),
    "Q2_K": (8, [80, 82]), "Q3_K": (9, [108]), "Q4_K": (10, [0, 2]), "Q5_K": (11, [0, 2]), "Q6_K": (12, [208]),
    "IQ4_NL": (13, [0]), "IQ4_XS": (14, [0]), "MXFP4": (15, []),
}  # fmt: skip

random = np.random.default_rng(20260)


def write(name, packing, scale_packing, rows, cols, row_bytes, groups, scale_stride, data, scales, expected):
    assert expected.dtype == np.float32 and expected.size == rows * cols
    assert len(data) == rows * row_bytes
    header = struct.pack(
        "<4s10I", b"WKFX", packing, scale_packing, rows, cols, row_bytes, *groups, scale_stride, len(data), len(scales)
    )
    (FOLDER / f"{name}.bin").write_bytes(header + data + scales + expected.astype("<f4").tobytes())


def fp16_scales(count):
    """Sane magnitudes, an eighth of them edges: zeros, subnormals, the largest, each of both signs."""
    magnitudes = np.exp2(random.uniform(-14, 3, count)) * random.choice([-1, 1], count)
    bits = magnitudes.astype(np.float16).view(np.uint16)
    edges = np.array([0, 0x8000, 1, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x7BFF, 0xFBFF], dtype=np.uint16)
    return np.where(random.random(count) < 0.125, random.choice(edges, count), bits).astype(np.uint16)


def gguf_blocks():
    for name, (packing, scale_offsets) in BLOCKS.items():
        kind = GGML[name]
        values, size = gguf.GGML_QUANT_SIZES[kind]
        rows, cols = (32, 768) if values == 256 else (32, 256) if values == 32 else (8, 261)
        blocks = random.integers(0, 256, (rows * cols // values, size), dtype=np.uint8)
        for offset in scale_offsets:
            blocks[:, offset : offset + 2] = fp16_scales(len(blocks)).view(np.uint8).reshape(-1, 2)
        if name == "F32":
            blocks = random.standard_normal(rows * cols).astype(np.float32).view(np.uint8).reshape(-1, 4)
        if name in ("F16", "BF16"):  # neither infinities nor NaN
            words = blocks.view(np.uint16)
            blocks = np.where(words & 0x7C00 == 0x7C00, words & 0x83FF, words).astype(np.uint16).view(np.uint8)
        if name == "MXFP4":  # 2^-128 and 2^-127 (subnormals of fp32) and the range around one
            blocks[:, 0] = np.where(
                random.random(len(blocks)) < 0.125,
                random.choice([0, 1, 2, 250], len(blocks)), random.integers(110, 140, len(blocks)))  # fmt: skip
        data = blocks.reshape(rows, -1)
        expected = gguf.quants.dequantize(data, kind).astype(np.float32)
        write(name.lower(), packing, 0, rows, cols, data.shape[1], (1, 1), 0, data.tobytes(), b"", expected)


def raw(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def packed_integers():
    torch.manual_seed(1)
    shapes = [(32, 5, 160), (64, 3, 256), (128, 3, 384), (24, 3, 72), (None, 5, 200), (None, 3, 133), (None, 2, 7)]
    for bits, packing in ((4, 16), (8, 17)):
        for scale_type in SCALE_PACKINGS:
            for group, rows, cols in shapes:
                limit = 1 << (bits - 1)
                q = torch.randint(-limit, limit, (rows, cols), dtype=torch.int8)
                groups = cols // group if group else 1
                scale = torch.randn(rows, groups) * torch.exp2(torch.randint(-20, 3, (rows, groups)))
                scale = scale.to(scale_type)
                if groups > 1:  # a zero and the smallest subnormal
                    scale[0, 0] = 0
                    scale[1, 1] = torch.tensor([1], dtype=torch.int16).view(torch.float16).to(scale_type)[0]
                arguments = {"strategy": "group", "group_size": group} if group else {"strategy": "channel"}
                scheme = QuantizationScheme(
                    targets=["Linear"],
                    weights=QuantizationArgs(num_bits=bits, type="int", symmetric=True, **arguments),
                )  # fmt: skip
                state = {
                    "weight_packed": pack_to_int32(q, bits),
                    "weight_scale": scale,
                    "weight_shape": torch.tensor([rows, cols]),
                }
                packed = raw(state["weight_packed"])
                weight = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
                assert weight.dtype == scale_type
                kind = str(scale_type).removeprefix("torch.")
                write(
                    f"int{bits}-{kind}-{f'group{group}' if group else 'channel'}-{cols}", packing,
                    SCALE_PACKINGS[scale_type], rows, cols, len(packed) // rows, (1, group or cols), groups,
                    packed, raw(scale), weight.float().numpy().reshape(-1))  # fmt: skip


def fp8_blocks():
    torch.manual_seed(2)
    for rows, cols, group in ((130, 141, 128), (5, 256, 128), (6, 100, 32), (3, 50, 7)):
        codes = torch.randint(0, 256, (rows, cols), dtype=torch.uint8)
        if cols == 256:  # every code, in every row; elsewhere no NaN
            codes = torch.arange(256, dtype=torch.int16).to(torch.uint8).repeat(rows, 1)
        else:
            codes = torch.where(codes & 0x7F == 0x7F, codes ^ 1, codes)
        scale = torch.randn(-(-rows // group), -(-cols // group)) * 1e-3
        if cols == 256:
            scale[0, 1] = 2.0**-140  # a subnormal
        if group == 7:
            scale[0, 0] = 2.0**125  # overflows for most codes, not for the smallest
        spread = scale.repeat_interleave(group, 0)[:rows].repeat_interleave(group, 1)[:, :cols]
        expected = codes.view(torch.float8_e4m3fn).float() * spread
        write(
            f"fp8-{rows}x{cols}", 18, 0, rows, cols, cols, (group, group), scale.shape[1], raw(codes), raw(scale),
            expected.numpy().reshape(-1))  # fmt: skip


FOLDER.mkdir(parents=True, exist_ok=True)
for old in FOLDER.glob("*.bin"):
    old.unlink()
gguf_blocks()
packed_integers()
fp8_blocks()
print(sum(f.stat().st_size for f in FOLDER.glob("*.bin")), "bytes")
