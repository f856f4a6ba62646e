"""Known wrong implementations, applied to the reference: each has to move the golden values of its fixture.

They are the errors that other engines shipped (see the traps in the reference notes): if one of them did not move the
result, the fixture could not find it.
"""

from types import MethodType

import torch

from . import golden


def router(zero_mask=False, group_max=False, biased_weights=False):
    """DeepSeek-V3's router with one thing wrong."""

    def forward(self, hidden):
        hidden = hidden.view(-1, self.hidden_dim)
        logits = hidden.float() @ self.weight.float().T
        scores = logits.sigmoid()
        choice = scores + self.e_score_correction_bias
        grouped = choice.view(-1, self.num_group, self.num_experts // self.num_group)
        group = grouped.max(-1).values if group_max else grouped.topk(2, dim=-1)[0].sum(-1)
        kept = torch.zeros_like(group).scatter_(1, group.topk(self.topk_group)[1], 1).bool()
        kept = kept.repeat_interleave(self.num_experts // self.num_group, -1)
        picked = choice.masked_fill(~kept, 0.0 if zero_mask else float("-inf")).topk(self.top_k)[1]
        weights = (choice if biased_weights else scores).gather(1, picked)
        if self.norm_topk_prob:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return logits, weights * self.routed_scaling_factor, picked

    def apply(model):
        for module in model.modules():
            if hasattr(module, "e_score_correction_bias"):
                module.forward = MethodType(forward, module)

    return apply


def latent_epsilon(model):
    """rms_norm_eps for the latent norms, where the model's own code has a fixed 1e-6."""
    for layer in model.model.layers:
        layer.self_attn.kv_a_layernorm.variance_epsilon = model.config.rms_norm_eps


def plain_softmax_scale(model):
    """The scale without YaRN's mscale_all_dim^2: position 0 is still right."""
    for layer in model.model.layers:
        layer.self_attn.scaling = layer.self_attn.qk_head_dim**-0.5


def no_amplitude(model):
    """cos and sin without YaRN's amplitude, which is 1 in every released checkpoint."""
    model.model.rotary_emb.attention_scaling = 1.0


MUTATIONS = {
    "zero mask": router(zero_mask=True), "group max": router(group_max=True),
    "biased weights": router(biased_weights=True), "latent epsilon": latent_epsilon,
    "plain softmax scale": plain_softmax_scale, "no rope amplitude": no_amplitude,
}


def check(names, config, tensors, tokens, base):
    if "zero mask" in names:  # the function above without an error is the reference
        model = golden.reference_model(config, tensors)
        router()(model)
        assert (golden.logprobs(model, tokens) - base).abs().max() < 1e-3
    for name in names:
        model = golden.reference_model(config, tensors)
        MUTATIONS[name](model)
        moved = (golden.logprobs(model, tokens) - base).abs().max().item()
        print(f"    {name}: moves {moved:.3f}")
        assert moved > 1e-2, name
