"""Routed experts in 4 bits as a trainer sees them: rounded by compressed-tensors, with Walet's rule for the scales.

The scale of 32 numbers is max|x| / 7.5 (the library's own for symmetric integers) and at least 2^-14, rounded to BF16.
"""

from pathlib import Path

import safetensors.torch
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from compressed_tensors.quantization.utils import calculate_qparams

GROUP = 32
ARGS = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=GROUP)


def scales(x):
    """[rows, groups] in BF16"""
    groups = x.unflatten(-1, (-1, GROUP))
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), ARGS)
    assert not zero.any()
    # Where all are zero the library takes a smallest number in place of no scale; so small a scale serves nobody.
    return scale.clamp(min=2.0**-14).to(torch.bfloat16)


def steps(x):
    scale = scales(x).float()
    return quantize(x, scale, torch.zeros_like(scale), ARGS, dtype=torch.int8)


def rounded(x):
    """As the library decompresses it: products are of the scales' type, BF16."""
    return dequantize(steps(x), scales(x), args=ARGS).float()


def packed(x):
    return pack_to_int32(steps(x), 4)


class StraightThrough(torch.autograd.Function):
    """Rounded on the way forward; on the way back as if it were not."""

    @staticmethod
    def forward(context, x):
        return rounded(x)

    @staticmethod
    def backward(context, slope):
        return slope


def is_expert(name):
    return ".mlp.experts." in name


def shown(leaves):
    """The tensors that a pass computes with."""
    return {n: StraightThrough.apply(t) if is_expert(n) else t for n, t in leaves.items()}


def margin(tensors):
    """How far the weights are from where another order of sums could round them otherwise: of a step, and of a scale."""
    step, scale = 1.0, 1.0
    for name, x in tensors.items():
        if not is_expert(name):
            continue
        q = x.unflatten(-1, (-1, GROUP)) / scales(x).float()[..., None]
        step = min(step, ((q - q.floor()) - 0.5).abs().min().item())
        wanted = x.unflatten(-1, (-1, GROUP)).abs().amax(-1) / 7.5
        bits = wanted.view(torch.int32) & 0xFFFF  # what BF16 leaves out
        scale = min(scale, (bits - 0x8000).abs().min().item() / 2**23)
    return step, scale


def stored(folder):
    """The weights of a folder under their published names in fp32, those in 4 bits as the library decompresses them."""
    tensors = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        tensors |= safetensors.torch.load_file(file)
    weights = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_packed"):
            module = name.removesuffix("_packed")
            shape = torch.Size(tensors[module + "_shape"].tolist())
            numbers = unpack_from_int32(tensor, 4, shape)
            weights[module] = dequantize(numbers, tensors[module + "_scale"], args=ARGS).float()
        elif not name.endswith((".weight_scale", ".weight_shape")):
            weights[name] = tensor.float()
    return weights


@torch.no_grad()
def check_weights(model, folder):
    """Sees that every weight of a loaded model is that of its folder, and that none of the folder was left out. Experts in
    4 bits, which transformers keeps in BF16 and multiplies in it, become fp32. Gives how many numbers they have."""
    left, replaced = stored(folder), 0
    for name, parameter in model.state_dict(keep_vars=True).items():
        if name in left:
            wanted = left.pop(name)
        else:
            prefix, projection = name.rsplit(".", 1)
            part = lambda e, p: left.pop(f"{prefix}.{e}.{p}_proj.weight")
            rows = [
                torch.cat([part(e, "gate"), part(e, "up")]) if projection == "gate_up_proj" else part(e, "down")
                for e in range(parameter.shape[0])
            ]
            wanted = torch.stack(rows)
        assert wanted.shape == parameter.shape and torch.equal(wanted.to(parameter.dtype), parameter), name
        if parameter.dtype != torch.float32:
            parameter.data = wanted
            replaced += wanted.numel()
    extra = f"model.layers.{model.config.num_hidden_layers}."  # the prediction layer
    assert all(name.startswith(extra) for name in left), sorted(left)[:5]
    return replaced


def cases():
    """[rows, 64]: rows of random numbers of many sizes, zeros, ties, and numbers that clamp."""
    generator = torch.Generator().manual_seed(21)
    x = torch.randn(40, 64, generator=generator) * 10.0 ** torch.linspace(-9, 6, 40)[:, None]
    ties = torch.arange(-8, 8).float() + 0.5  # of a scale of 1
    row = torch.cat([ties, ties.flip(0)])
    extremes = torch.zeros(32)
    extremes[:4] = torch.tensor([-1.0, 1.0, 0.9999999, -0.9333334])
    x = torch.cat([
        x, torch.zeros(1, 64),
        torch.cat([row.clamp(-7.5, 7.5), row.clamp(-7.5, 7.5) * 2.0**-9])[None],
        torch.cat([extremes, torch.zeros(32)])[None],
        torch.cat([torch.full([32], 2.0**-20), torch.full([32], -0.0)])[None],
        torch.cat([torch.full([32], -3.0), torch.full([32], 3.0)])[None],
    ])
    return x.contiguous()


def write(path):
    x = cases()
    tensors = {"x": x, "scales": scales(x), "packed": packed(x), "rounded": rounded(x)}
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, path, {"format": "pt"})
    print(f"int4: {x.numel()} numbers, {path.stat().st_size / 1e3:.0f} KB")
