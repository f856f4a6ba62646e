"""Golden values of the multi-token-prediction layer, from the MTP model that transformers itself has."""

import safetensors.torch
import torch
from transformers import AutoModelForCausalLM
from transformers.modeling_layers import MtpModel

from . import golden


def reference(folder, layer):
    """The model and its prediction layer, in fp32, from a folder whose layer `layer` is the first prediction layer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model._keys_to_ignore_on_load_unexpected = [rf"model\.layers\.{layer}\."]  # it knows V3's own 61 only
    mtp = MtpModel.from_pretrained(model).eval()
    # transformers takes embedding and head from the model, of which published files have copies here; ours differ, so
    # that a reader which takes the wrong ones is seen.
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    own = lambda name: tensors[f"model.layers.{layer}.{name}.weight"].float()
    mtp.embed_tokens = torch.nn.Embedding.from_pretrained(own("embed_tokens"))
    mtp.shared_head = torch.nn.Linear(*reversed(own("shared_head.head").shape), bias=False)
    mtp.shared_head.weight.data = own("shared_head.head")
    return model, mtp


@torch.no_grad()
def states(mtp, hidden, tokens):
    """The layer's final hidden states: row p goes on from the model's at p and the token at p + 1."""
    positions = torch.arange(1, len(tokens) + 1)[None]
    return mtp.forward_layer(0, hidden, positions, None, input_ids=torch.tensor([tokens]))


@torch.no_grad()
def table(mtp, state):
    return mtp.shared_head(state)[0].double().log_softmax(-1)


@torch.no_grad()
def case(model, mtp, tokens):
    """What the layer says of tokens[p + 2], and, going on from its own state, of the token after its first guess."""
    hidden = model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1]
    own = states(mtp, hidden[:, :-1], tokens[1:])
    first = table(mtp, own)
    guess = first[-1].argmax().item()
    further = states(mtp, torch.cat([hidden[:, :-1], own[:, -1:]], dim=1), tokens[1:] + [guess])
    second = table(mtp, further)
    assert (second[:-1] - first).abs().max() < 1e-3
    picked = first[:-1].gather(1, torch.tensor(tokens[2:])[:, None])[:, 0]
    return {"tokens": tokens, "logprobs": golden.rounded(picked), "last": golden.rounded(first[-1]), "guess": guess,
            "second": golden.rounded(second[-1])}


def write(folder, layer, cases):
    """golden-mtp.json: the cases' tokens that are long enough to be predicted."""
    model, mtp = reference(folder, layer)
    values = [case(model, mtp, tokens) for tokens in cases if 2 < len(tokens) <= 200]
    mutations(model, mtp, values[-1]["tokens"])
    golden.write_json(folder / "golden-mtp.json", {"reference": golden.REFERENCE, "cases": values})


@torch.no_grad()
def mutations(model, mtp, tokens):
    """Errors that a reader may make, each of which must move the values."""
    hidden = model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1][:, :-1]
    base = table(mtp, states(mtp, hidden, tokens[1:]))
    layer = mtp.layers[0]
    norm, model.model.norm = model.model.norm, torch.nn.Identity()
    raw = model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1][:, :-1]
    model.model.norm = norm
    moved = {"state before the final norm": table(mtp, states(mtp, raw, tokens[1:]))}
    moved["tokens not shifted"] = table(mtp, states(mtp, hidden, tokens[:-1]))
    mtp.config.mtp_hidden_states_first = True
    moved["state half first"] = table(mtp, states(mtp, hidden, tokens[1:]))
    mtp.config.mtp_hidden_states_first = False
    layer.enorm, layer.hnorm = layer.hnorm, layer.enorm
    moved["norms exchanged"] = table(mtp, states(mtp, hidden, tokens[1:]))
    layer.enorm, layer.hnorm = layer.hnorm, layer.enorm
    shared, mtp.shared_head = mtp.shared_head, model.lm_head
    moved["the model's head"] = table(mtp, states(mtp, hidden, tokens[1:]))
    mtp.shared_head = shared
    for name, values in moved.items():
        distance = (values - base).abs().max().item()
        print(f"    MTP, {name}: moves {distance:.3f}")
        assert distance > 1e-2, name
