"""Single operations of training with PyTorch's gradients: inputs, a slope for each number of the result, gradients."""

import safetensors.torch
import torch
import torch.nn.functional as F

GENERATOR = torch.Generator()


def random(*shape, scale=1.0):
    return (torch.randn(shape, generator=GENERATOR) * scale).requires_grad_()


def causal(query, key, value, scale):
    """[heads, rows, size] each"""
    scores = query @ key.transpose(-1, -2) * scale
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~seen, float("-inf")).softmax(-1) @ value


def segmented(query, key, value, scale, lengths):
    pieces = zip(query.split(lengths, 1), key.split(lengths, 1), value.split(lengths, 1))
    return torch.cat([causal(q, k, v, scale) for q, k, v in pieces], 1)


def linear():
    x, w, b = random(7, 20), random(9, 20), random(9)
    return {"x": x, "weight": w, "bias": b}, F.linear(x, w, b)


def rms_norm():
    x, w = random(9, 37), random(37)
    return {"x": x, "weight": w}, F.rms_norm(x, (37,), w, 1e-5)


def rope(interleaved):
    """[rows, heads, 8] by angles of positions 0.."""
    x = random(5, 3, 8)
    angles = torch.arange(5)[:, None] * 100.0 ** (-torch.arange(4) / 4)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :4], x[..., 4:])
    first, second = a * cos - b * sin, a * sin + b * cos
    y = torch.stack([first, second], -1).flatten(-2) if interleaved else torch.cat([first, second], -1)
    return {"x": x}, y


def feed_forward():
    x, gate, up, down = random(70, 12), random(21, 12), random(21, 12), random(12, 21)
    return {"x": x, "gate": gate, "up": up, "down": down}, F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


LENGTHS = [270, 1, 20]


def latent():
    """Two heads of 6 + 4 dimensions, values of 5; the rope key after a latent of 3."""
    heads, plain, rotary, size, rank, rows = 2, 6, 4, 5, 3, sum(LENGTHS)
    q = random(rows, heads * (plain + rotary))
    kv, compressed = random(rows, heads * (plain + size)), random(rows, rank + rotary)
    queries = q.view(rows, heads, -1).transpose(0, 1)
    keys, values = kv.view(rows, heads, -1).transpose(0, 1).split([plain, size], -1)
    keys = torch.cat([keys, compressed[:, rank:].expand(heads, -1, -1)], -1)
    y = segmented(queries, keys, values, 0.4, LENGTHS).transpose(0, 1).reshape(rows, -1)
    return {"query": q, "keyValue": kv, "compressed": compressed}, y


def grouped():
    """Four query heads of 6 dimensions, two of keys and values."""
    rows = sum(LENGTHS)
    q, k, v = random(rows, 24), random(rows, 12), random(rows, 12)
    queries = q.view(rows, 4, 6).transpose(0, 1)
    keys, values = (t.view(rows, 2, 6).transpose(0, 1).repeat_interleave(2, 0) for t in (k, v))
    y = segmented(queries, keys, values, 0.5, LENGTHS).transpose(0, 1).reshape(rows, -1)
    return {"query": q, "key": k, "value": v}, y


def router(scoring, normalized):
    logits = random(11, 7)
    scores = logits.sigmoid() if scoring == "sigmoid" else logits.softmax(-1)
    chosen = scores.topk(3, -1, sorted=True)[1]
    w = scores.gather(1, chosen)
    if normalized:
        w = w / (w.sum(-1, keepdim=True) + 1e-20)
    return {"logits": logits}, w * 2.5


def experts():
    """Five experts, the last of which nobody chooses; two a row."""
    x, logits = random(30, 12), random(30, 5)
    masked = logits + torch.tensor([0, 0, 0, 0, -100.0])
    weights, chosen = masked.sigmoid().topk(2, -1, sorted=True)
    gate, up, down = random(5, 9, 12), random(5, 9, 12), random(5, 12, 9)
    y = torch.zeros(30, 12)
    for e in range(5):
        row, k = torch.where(chosen == e)
        inner = F.silu(F.linear(x[row], gate[e])) * F.linear(x[row], up[e])
        y = y.index_add(0, row, F.linear(inner, down[e]) * weights[row, k, None])
    return {"x": x, "logits": logits, "gate": gate, "up": up, "down": down}, y


def cross_entropy():
    """Every fifth row has no target."""
    x, head = random(23, 12), random(50, 12)
    targets = torch.randint(0, 50, (23,), generator=GENERATOR)
    targets[::5] = -1
    losses = F.cross_entropy(F.linear(x, head), targets, ignore_index=-1, reduction="none")
    return {"x": x, "head": head, "targets": targets.float()}, losses


CASES = {
    "linear": linear, "rms_norm": rms_norm, "rope_interleaved": lambda: rope(True), "rope_half": lambda: rope(False),
    "feed_forward": feed_forward, "latent": latent, "grouped": grouped,
    "router_sigmoid": lambda: router("sigmoid", True), "router_softmax": lambda: router("softmax", False),
    "router_softmax_normalized": lambda: router("softmax", True), "experts": experts, "cross_entropy": cross_entropy,
}


def write(path):
    GENERATOR.manual_seed(5)
    tensors = {}
    for name, case in CASES.items():
        inputs, result = case()
        slope = torch.randn(result.shape, generator=GENERATOR)
        (result * slope).sum().backward()
        tensors |= {f"{name}.result": result.detach(), f"{name}.slope": slope}
        for key, value in inputs.items():
            tensors[f"{name}.{key}"] = value.detach()
            if value.grad is not None:
                tensors[f"{name}.{key}.gradient"] = value.grad
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, path, {"format": "pt"})
    print(f"operations: {path.stat().st_size / 1e3:.0f} KB")
