"""What safetensors and gguf say of a folder that `walet pack` wrote: every tensor of the source, byte for byte, and each
expert in one stretch at a multiple of 4096.

    .venv/bin/python Tools/check_pack.py SOURCE PACKED      # folders; packages of requirements-oracle.txt
"""

import collections
import json
import pathlib
import re
import sys

import numpy

BLOCK = 4096
EXPERT = re.compile(r"(?:language_model\.)?model\.layers\.(\d+)\.mlp\.experts\.(\d+)\.")
STACK = re.compile(r"blk\.(\d+)\.ffn_(gate|up|down|gate_up)_exps\.weight")
SINGLE = re.compile(r"blk\.(\d+)\.ffn_(gate|up|down)\.(\d+)\.weight")


def check_places(experts):
    """`experts`: the (file, first byte, end) of each tensor, by (layer, expert)."""
    for name, parts in experts.items():
        parts.sort()
        assert len({file for file, _, _ in parts}) == 1, f"{name} is in several files"
        assert parts[0][1] % BLOCK == 0, f"{name} begins at byte {parts[0][1]}"
        for (_, _, end), (_, start, _) in zip(parts, parts[1:]):
            assert 0 <= start - end < BLOCK, f"{name}: bytes {end} to {start} lie between its parts"
    print(f"{len(experts)} experts in one stretch each, at multiples of {BLOCK}")


def header(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length, json.loads(file.read(length))


def bytes_of(paths):
    """The headers' entries of all files, with the bytes of each tensor."""
    entries = {}
    for path in paths:
        start, tensors = header(path)
        data = numpy.memmap(path, dtype=numpy.uint8, mode="r")
        for name, entry in tensors.items():
            if name != "__metadata__":
                first, end = (start + offset for offset in entry["data_offsets"])
                entries[name] = (entry["dtype"], entry["shape"], path.name, first, data[first:end])
    return entries


def check_safetensors(source, packed):
    # Every byte of a file is one that the library has found to belong to a tensor.
    from safetensors import safe_open

    for path in sorted(packed.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
        assert names == set(header(path)[1]) - {"__metadata__"}, path
    before, after = (bytes_of(sorted(folder.glob("*.safetensors"))) for folder in (source, packed))
    fillers = {name for name in after if re.fullmatch(r"walet\.padding\.\d+", name)}
    assert set(after) - fillers == set(before) - fillers
    experts = collections.defaultdict(list)
    for name in set(before) - fillers:
        (dtype, shape, _, _, old), (copied_dtype, copied_shape, file, first, new) = before[name], after[name]
        assert (dtype, shape) == (copied_dtype, copied_shape), name
        assert numpy.array_equal(old, new), f"{name} has other bytes"
        match = EXPERT.match(name)
        if match and not name.endswith(".weight_shape"):
            experts[match.groups()].append((file, first, first + len(new)))
    assert all(not after[name][4].any() for name in fillers)
    print(f"{len(before)} tensors equal, {len(fillers)} fillers")
    check_places(experts)
    index = "model.safetensors.index.json"
    if (packed / index).exists():
        old, new = (json.loads((folder / index).read_text())["weight_map"] for folder in (source, packed))
        assert list(new)[: len(old)] == list(old) and set(new) == set(after)
        assert all(after[name][2] == file for name, file in new.items())
        print("the index names each tensor's file, in the source's order")


def check_gguf(source, packed):
    from gguf import GGUFReader

    def tensors(folder):
        return {tensor.name: (path.name, tensor) for path in sorted(folder.glob("*.gguf"))
                for tensor in GGUFReader(path).tensors}

    before, after = tensors(source), tensors(packed)
    expected = {}
    for name, (_, tensor) in before.items():
        match = STACK.fullmatch(name)
        data = tensor.data.reshape(-1).view(numpy.uint8)
        if not match:
            expected[name] = data
            continue
        layer, kind = match.groups()
        kinds = ["gate", "up"] if kind == "gate_up" else [kind]
        slices = data.reshape(int(tensor.shape[2]), len(kinds), -1)
        for expert, matrices in enumerate(slices):
            for part, matrix in zip(kinds, matrices):
                expected[f"blk.{layer}.ffn_{part}.{expert}.weight"] = matrix
    assert set(expected) == set(after)
    experts = collections.defaultdict(list)
    for name, data in expected.items():
        file, tensor = after[name]
        assert numpy.array_equal(data, tensor.data.reshape(-1).view(numpy.uint8)), f"{name} has other bytes"
        match = SINGLE.fullmatch(name)
        if match:
            first = int(tensor.data_offset)
            experts[match.group(1), match.group(3)].append((file, first, first + int(tensor.n_bytes)))
    print(f"{len(expected)} tensors equal")
    check_places(experts)


if __name__ == "__main__":
    source, packed = (pathlib.Path(name) for name in sys.argv[1:3])
    check = check_gguf if any(packed.glob("*.gguf")) else check_safetensors
    check(source, packed)
