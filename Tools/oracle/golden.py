"""The reference forward (transformers, fp32, eager) and the golden values it gives."""

import json
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import safetensors.torch
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

PROMPT_LENGTHS = (1, 2, 7, 33, 130, 600)
GREEDY_PROMPT, GREEDY_STEPS = 9, 24
REFERENCE = f"transformers {transformers.__version__} torch {torch.__version__.split('+')[0]} fp32 eager"

# A reference without this factor gives wrong DeepSeek-V2 values (huggingface/transformers#47435).
from transformers.models.deepseek_v2 import modeling_deepseek_v2

assert hasattr(modeling_deepseek_v2, "yarn_apply_mscale"), "this transformers lacks #47435"


def reference_model(config, tensors):
    """A transformers model in fp32 with exactly these weights (published names, any float dtype)."""
    # These two only name things: the graph of kimi_k2 is deepseek_v3, and the weights here are already plain.
    config = {k: v for k, v in config.items() if k != "quantization_config"}
    if config["model_type"] == "kimi_k2":
        config["model_type"] = "deepseek_v3"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(config))
        safetensors.torch.save_file(tensors, Path(folder, "model.safetensors"), {"format": "pt"})
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    layers = config["num_hidden_layers"]
    for name in report["unexpected_keys"]:  # only the MTP layers may be left over
        assert name.startswith("model.layers.") and int(name.split(".")[2]) >= layers, name
    assert type(model).__name__.startswith(AutoConfig.for_model(config["model_type"]).__class__.__name__[:-6])
    return model.eval()


class RouterMargin:
    """The smallest distance by which any routing decision was made: a near tie would make a golden value fragile."""

    def __init__(self, model):
        self.value = float("inf")
        routers = [m for m in model.modules() if type(m).__name__.lower().endswith("topkrouter")]
        self.handles = [m.register_forward_hook(self.see) for m in routers]

    def see(self, router, inputs, outputs):
        logits = outputs[0].float()
        experts = logits.shape[-1]
        groups, keep = getattr(router, "num_group", None) or 1, getattr(router, "topk_group", None) or 1
        if hasattr(router, "e_score_correction_bias"):
            choice = logits.sigmoid() + router.e_score_correction_bias
            group = choice.view(-1, groups, experts // groups).topk(2, dim=-1)[0].sum(-1)
        else:
            choice = logits.log_softmax(-1)
            group = choice.view(-1, groups, experts // groups).max(-1).values
        if groups > 1:
            self.gap(group, keep)
            kept = torch.zeros_like(group).scatter_(1, group.topk(keep)[1], 1).bool()
            choice = choice.masked_fill(~kept.repeat_interleave(experts // groups, -1), float("-inf"))
        self.gap(choice, router.top_k)

    def gap(self, scores, count):
        if count < scores.shape[-1]:
            top = scores.topk(count + 1)[0]
            self.value = min(self.value, (top[:, count - 1] - top[:, count]).min().item())

    def close(self):
        for handle in self.handles:
            handle.remove()


@torch.no_grad()
def logprobs(model, tokens):
    """Log probabilities after each prefix: [len(tokens), vocab], log_softmax in fp64 of the fp32 logits."""
    logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    assert logits.dtype == torch.float32
    return logits.double().log_softmax(-1)


def rounded(values):
    return [round(v, 6) + 0.0 for v in values.tolist()]


def case(model, tokens):
    table = logprobs(model, tokens)
    full = {0, len(tokens) - 1} if len(tokens) < 100 else {len(tokens) - 1}
    picked = table[:-1].gather(1, torch.tensor(tokens[1:], dtype=torch.long)[:, None])[:, 0]
    return {
        "tokens": tokens,
        "logprobs": [None] + rounded(picked),
        "full": {str(p): rounded(table[p]) for p in sorted(full)},
    }


def greedy(model, prompt, steps):
    """Greedy continuation and the smallest distance between the best and the second best token."""
    tokens, margin = list(prompt), float("inf")
    for _ in range(steps):
        top = logprobs(model, tokens)[-1].topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        tokens.append(top.indices[0].item())
    return tokens[len(prompt):], margin


def random_tokens(count, vocab, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, vocab, (count,), generator=generator).tolist()


def clear_cases(model, vocab, seed):
    """Cases of random tokens whose routing decisions are clear of rounding errors, and the smallest routing margin."""
    best = None
    for attempt in range(24):
        watch = RouterMargin(model)
        first = seed * 1000 + attempt * 10
        cases = [case(model, random_tokens(n, vocab, first + i)) for i, n in enumerate(PROMPT_LENGTHS)]
        watch.close()
        if best is None or watch.value > best[0]:
            best = (watch.value, cases)
        if best[0] > 5e-5:
            break
    return best


def clear_greedy(model, vocab, seed, reserved=(0, 1, 2, 3)):
    """A greedy continuation without close calls and without the ids that may end a generation."""
    for attempt in range(400):
        prompt = random_tokens(GREEDY_PROMPT, vocab, seed * 1000 + 500 + attempt)
        watch = RouterMargin(model)
        tokens, margin = greedy(model, prompt, GREEDY_STEPS)
        watch.close()
        if margin > 2e-3 and watch.value > 5e-5 and not set(tokens) & set(reserved) and len(set(tokens)) >= 4:
            return {"prompt": prompt, "tokens": tokens, "margin": round(margin, 6)}
    raise RuntimeError("no greedy continuation with clear margins")


def golden(model, vocab, seed, with_greedy=True):
    router_margin, cases = clear_cases(model, vocab, seed)
    check_spread(cases)
    result = {"reference": REFERENCE, "rounding": rounding_noise(model, cases[-1]["tokens"]), "cases": cases}
    if with_greedy:
        result["greedy"] = clear_greedy(model, vocab, seed)
    if router_margin != float("inf"):
        result["router_margin"] = round(router_margin, 8)
    return result


def rounding_noise(model, tokens):
    """How far another order of the same fp32 sums moves the log probabilities: a test's tolerance starts here."""
    eager = logprobs(model, tokens)
    model.set_attn_implementation("sdpa")
    moved = (logprobs(model, tokens) - eager).abs().max().item()
    model.set_attn_implementation("eager")
    print(f"    rounding {moved:.1e}")
    return float(f"{moved:.1e}")


def check_spread(cases):
    """Far from uniform, and different positions give different distributions."""
    last = torch.tensor([list(c["full"].values())[-1] for c in cases])
    entropy = -(last.exp() * last).sum(-1)
    uniform = torch.tensor(float(last.shape[-1])).log()
    assert torch.allclose(last.exp().sum(-1), torch.ones(len(cases)), atol=1e-3)
    assert (entropy < 0.95 * uniform).all(), entropy
    assert (last[1:] - last[:-1]).abs().max() > 0.5


def write_json(path, value):
    """Like json.dumps, but without the blanks that would double a list of numbers."""
    path.write_text(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
