"""What transformers says of a folder that Walet wrote: -ln p of each target, fp32, one JSON list.

    .venv/bin/python Tools/check_trained_folder.py FOLDER TOKENS TARGETS      # ids with commas
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import AutoModelForCausalLM

from oracle import int4

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


@torch.no_grad()
def main(folder, tokens, targets):
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    # Prediction layers lie behind the last of the model's own.
    extra = f"model.layers.{model.config.num_hidden_layers}."
    unexpected = [name for name in report["unexpected_keys"] if not name.startswith(extra)]
    assert not report["missing_keys"] and not report["mismatched_keys"] and not unexpected, report
    if getattr(model, "hf_quantizer", None):
        int4.check_weights(model, folder)
    logits = model(torch.tensor([tokens])).logits[0]
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="none")
    print(json.dumps(losses.tolist()))


if __name__ == "__main__":
    numbers = [[int(part) for part in text.split(",")] for text in sys.argv[2:4]]
    main(sys.argv[1], *numbers)
