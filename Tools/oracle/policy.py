"""GRPO's objective and advantages with PyTorch's gradients."""

import torch

from . import golden

# clip low, clip high, weight of the divergence
RULES = [(0.2, 0.28, 0.0), (0.2, 0.2, 0.04), (0.1, 0.4, 1.0)]
TOKENS = 120
GROUPS = [[1.1, 0.1, 0.0, 1.0], [0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 0.1], [0.5, 0.5], [0, 1]]


def objective(loss, old, reference, advantage, weight, low, high, beta):
    """PPO's clipped objective and Schulman's k3, a token each; `loss` is -ln p."""
    ratio = torch.exp(-loss - old)
    value = -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)
    if beta:
        difference = reference + loss  # ln(q / p)
        value = value + beta * (difference.exp() - difference - 1)
    return value * weight


def tokens(rule, seed):
    low, high, beta = rule
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(TOKENS, generator=generator)
    loss = (draw().abs() * 2).requires_grad_()
    old = -loss.detach() + draw() * 0.3
    reference = -loss.detach() + draw() * 0.5
    advantage, weight = draw(), draw().abs() * 0.01
    value = objective(loss, old, reference, advantage, weight, low, high, beta)
    value.sum().backward()
    ratio = torch.exp(-loss.detach() - old)
    clipped = ((advantage > 0) & (ratio > 1 + high)) | ((advantage < 0) & (ratio < 1 - low))
    kinds = {(bool(a > 0), bool(c)) for a, c in zip(advantage, clipped)}
    assert len(kinds) == 4  # both signs, clipped and not
    columns = {"loss": loss, "old": old, "advantage": advantage, "weight": weight, "value": value, "slope": loss.grad}
    if beta:
        columns["reference"] = reference
    return {"low": low, "high": high, "divergence": beta, "clipped": clipped.tolist()} | {
        name: column.tolist() for name, column in columns.items()}


def groups():
    """What a reward is beyond its group's mean, and that by the group's deviation."""
    for rewards in GROUPS:
        r = torch.tensor(rewards, dtype=torch.float64)
        mean = r - r.mean()
        yield {"rewards": rewards, "mean": mean.tolist(), "std": (mean / (r.std(correction=0) + 1e-4)).tolist()}


def write(path):
    facts = {"tokens": [tokens(rule, 31 + i) for i, rule in enumerate(RULES)], "groups": list(groups())}
    golden.write_json(path, facts)
    print(f"policy: {path.stat().st_size / 1e3:.0f} KB")
