"""The reference for training: transformers' models as functions of tensors under their published names.

Every matrix of an expert is a tensor of its own, as in published files and as the optimizers want it; transformers holds
the experts of a layer stacked.
"""

import math

import torch
import torch.nn.functional as F
from torch.func import functional_call
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.modeling_layers import MtpLayer
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as deepseek

from . import golden, int4 as four_bits

MAX_LOGITS = {}  # layer -> [heads]


def recording_attention(module, query, key, value, attention_mask, scaling, **_):
    """Eager attention that keeps each head's largest scaled score among those that are seen."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    scores = query @ key.transpose(2, 3) * scaling
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    scores = scores.masked_fill(~seen, float("-inf"))
    MAX_LOGITS[module.layer_idx] = scores.detach().amax(dim=(0, 2, 3))
    return (scores.softmax(-1) @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register("recording", recording_attention)
AttentionMaskInterface.register("recording", eager_mask)


class Reference:
    def __init__(self, config, tensors, mtp_weight=0.0, balance=0.0, int4=False):
        self.c, self.mtp_weight, self.balance, self.int4 = config, mtp_weight, balance, int4
        layers = config["num_hidden_layers"]
        plain = {n: t for n, t in tensors.items() if int(n.split(".")[2] if ".layers." in n else 0) < layers}
        self.model = golden.reference_model(config, plain)
        self.model.set_attn_implementation("recording")
        self.model.config._experts_implementation = "eager"
        self.mtp = None
        if config.get("num_nextn_predict_layers"):
            self.mtp = MtpLayer(self.model.config, deepseek.DeepseekV3DecoderLayer, deepseek.DeepseekV3RMSNorm, layers)
        self.routed = {}  # layer -> (logits, chosen experts)
        for module in [self.model] + ([self.mtp] if self.mtp else []):
            for name, part in module.named_modules():
                if type(part).__name__.endswith("TopKRouter") or type(part).__name__.endswith("TopkRouter"):
                    layer = layers if module is self.mtp else int(name.split(".layers.")[1].split(".")[0])
                    part.register_forward_hook(
                        lambda _, __, out, layer=layer: self.routed.__setitem__(layer, (out[0], out[2])))

    def experts(self):
        return self.c.get("n_routed_experts") or self.c.get("num_experts") or 0

    def states(self, leaves):
        """Published names to transformers' own, for the model and for the prediction layer."""
        layers, own, extra = self.c["num_hidden_layers"], {}, {}
        for name, leaf in leaves.items():
            if ".experts." in name and ".shared_experts." not in name:
                prefix, rest = name.split(".experts.")
                if rest != "0.gate_proj.weight":
                    continue
                part = lambda e, p: leaves[f"{prefix}.experts.{e}.{p}_proj.weight"]
                count = range(self.experts())
                stacked = {
                    f"{prefix}.experts.gate_up_proj": torch.stack([torch.cat([part(e, "gate"), part(e, "up")])
                                                                   for e in count]),
                    f"{prefix}.experts.down_proj": torch.stack([part(e, "down") for e in count]),
                }
            else:
                stacked = {name: leaf}
            for key, value in stacked.items():
                mark = f"model.layers.{layers}."
                if not key.startswith(mark):
                    own[key] = value
                    continue
                key = key[len(mark):]
                if key == "shared_head.norm.weight":
                    key = "post_norm.weight"
                elif key not in ("enorm.weight", "hnorm.weight", "eh_proj.weight"):
                    key = "mtp_block." + key
                extra[key] = value
        return own, extra

    def loss(self, leaves, tokens, targets):
        """Everything that training adds up, and its parts. tokens, targets: [sequences, length]"""
        own, extra = self.states(four_bits.shown(leaves) if self.int4 else leaves)
        out = functional_call(self.model, own, (tokens,), {"output_hidden_states": True, "use_cache": False})
        parts = {"main": F.cross_entropy(out.logits.flatten(0, 1), targets.flatten())}
        total = parts["main"]
        if self.mtp:
            parts["mtp"] = self.mtp_loss(leaves, extra, out.hidden_states[-1], targets)
            total = total + self.mtp_weight * parts["mtp"]
        if self.balance:
            parts["balance"] = sum(self.balance_loss(*self.routed[layer], tokens.shape) for layer in self.routed)
            total = total + parts["balance"]
        return total, parts

    def mtp_loss(self, leaves, state, hidden, targets):
        """Row p has the hidden state of p and the token after it, and is asked for the one after that."""
        length = targets.shape[1] - 1
        embedded = F.embedding(targets[:, :-1], leaves["model.embed_tokens.weight"])
        positions = torch.arange(1, length + 1)[None]
        angles = self.model.model.rotary_emb(hidden, positions)
        y = functional_call(self.mtp, state, (embedded, hidden[:, :-1], angles, None, positions, None))
        logits = F.linear(y, leaves["lm_head.weight"])
        return F.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())

    def balance_loss(self, logits, chosen, shape):
        """DeepSeek-V3, arXiv 2412.19437, equations 17 to 20, averaged over the sequences of the rows."""
        sequences = shape[0]
        scores = logits.sigmoid() if self.c.get("scoring_func", "softmax") == "sigmoid" else logits.softmax(-1)
        experts, per_token = scores.shape[-1], chosen.shape[-1]
        shares = (scores / scores.sum(-1, keepdim=True)).view(sequences, -1, experts)
        counts = F.one_hot(chosen.view(sequences, -1), experts).sum(1).float()
        f = counts * experts / (per_token * shares.shape[1])
        return self.balance * (f * shares.mean(1)).sum(-1).mean()

    def counts(self, layer):
        return torch.bincount(self.routed[layer][1].flatten(), minlength=self.experts())


class MuonClip:
    """torch.optim.Muon (match_rms_adamw) on hidden matrices, torch.optim.AdamW on the rest, then QK-Clip as in Kimi K2
    (arXiv 2507.20534, algorithm 1), then the bias update of auxiliary-loss-free balancing."""

    def __init__(self, reference, leaves, tau, decay, gamma, clip_norm):
        self.reference, self.leaves, self.tau, self.gamma, self.clip_norm = reference, leaves, tau, gamma, clip_norm
        trained = {n: t for n, t in leaves.items() if t.requires_grad}
        hidden = [t for n, t in trained.items() if is_hidden_matrix(n, t)]
        others = [t for n, t in trained.items() if not is_hidden_matrix(n, t)]
        self.trained = list(trained.values())
        self.parts = [
            torch.optim.Muon(hidden, lr=0.0, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=0.0, weight_decay=decay, betas=(0.9, 0.95), eps=1e-8, foreach=False),
        ]

    def step(self, rate):
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.clip_norm)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
        clipped = clip_heads(self.reference.c, self.leaves, self.tau)
        balance_biases(self.reference, self.leaves, self.gamma)
        return norm.item(), clipped


class AdamW:
    def __init__(self, leaves, decay, clip_norm):
        self.trained, self.clip_norm = [t for t in leaves.values() if t.requires_grad], clip_norm
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=0.0, weight_decay=decay, betas=(0.9, 0.95), eps=1e-8, foreach=False)

    def step(self, rate):
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.clip_norm)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        return norm.item(), 0


def is_hidden_matrix(name, tensor):
    return tensor.dim() == 2 and "embed_tokens" not in name and "lm_head" not in name


@torch.no_grad()
def clip_heads(c, leaves, tau):
    """gamma = min(1, tau / S): what the head has of its own shrinks by sqrt(gamma), the query that meets the shared rotary
    key by gamma. With grouped heads a key serves several queries: it takes the smallest, the queries what is left."""
    clipped = 0
    for layer, most in MAX_LOGITS.items():
        prefix = f"model.layers.{layer}.self_attn."
        gammas = [min(1.0, tau / s) if s > 0 else 1.0 for s in most.tolist()]
        if prefix + "q_norm.weight" in leaves:  # the scores do not feel the size of these matrices
            continue
        clipped += sum(g < 1 for g in gammas)
        if "kv_lora_rank" in c:
            plain, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
            query = leaves[prefix + ("q_b_proj" if c["q_lora_rank"] else "q_proj") + ".weight"]
            keys = leaves[prefix + "kv_b_proj.weight"]
            for h, gamma in enumerate(gammas):
                first, last = h * (plain + rope), (h + 1) * (plain + rope)
                query[first:first + plain] *= math.sqrt(gamma)
                query[first + plain:last] *= gamma
                keys[h * (plain + value):h * (plain + value) + plain] *= math.sqrt(gamma)
            continue
        size = leaves[prefix + "q_proj.weight"].shape[0] // len(gammas)
        group = len(gammas) // (leaves[prefix + "k_proj.weight"].shape[0] // size)
        for end in (".weight", ".bias"):
            if prefix + "q_proj" + end not in leaves:
                continue
            query, keys = leaves[prefix + "q_proj" + end], leaves[prefix + "k_proj" + end]
            for first in range(0, len(gammas), group):
                least = min(gammas[first:first + group])
                keys[first // group * size:(first // group + 1) * size] *= math.sqrt(least)
                for h in range(first, first + group):
                    query[h * size:(h + 1) * size] *= gammas[h] / math.sqrt(least)
    return clipped


@torch.no_grad()
def balance_biases(reference, leaves, gamma):
    """DeepSeek-V3, section 2.1.2: an overloaded expert's bias goes down by gamma, an underloaded one's up."""
    for layer in reference.routed:
        counts = reference.counts(layer).float()
        bias = leaves.get(f"model.layers.{layer}.mlp.gate.e_score_correction_bias")
        if bias is not None:
            bias += gamma * torch.sign(counts.mean() - counts)


def newton_schulz_fp32():
    """torch.optim.Muon's iteration as it is, but for its cast to bfloat16."""
    import inspect

    from torch.optim import _muon

    source = inspect.getsource(_muon._zeropower_via_newtonschulz)
    assert source.count("grad.bfloat16()") == 1
    exec(source.replace("grad.bfloat16()", "grad.clone()"), _muon.__dict__)
