#!/usr/bin/env python3
"""Checks the GGUF builders against a second implementation, llama.cpp.

    pip install xllamacpp==2026.10.11549
    python Tools/check_gguf_fixtures.py

Every variant but the K types is built again in a temporary folder with F32 weights, so that llama.cpp does not quantize
activations, and its log probabilities after each prompt must be transformers' within 2e-4. That confirms keys, tensor
names, row orders, YaRN, routing and both generations of MLA tensors. The legacy file gets 27 layers for this check:
llama.cpp takes a deepseek2 file without `q_lora_rank` only then.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
import xllamacpp

from oracle import ggufs

FORCED_TOKEN = 36  # "A": the sampled token must be printable, or the server leaves its probabilities out


def largest_difference(path, cases):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = parameters.n_batch = 1024
    parameters.n_parallel = 1
    parameters.warmup = False
    parameters.verbosity = -1
    parameters.cpuparams.n_threads = 2
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(parameters)
    worst = 0
    for case in cases:
        answer = server.handle_completions({
            "prompt": case["tokens"], "n_predict": 1, "n_probs": ggufs.VOCAB, "temperature": 0,
            "post_sampling_probs": False, "logit_bias": [[FORCED_TOKEN, 1000.0]],
        })
        answer = json.loads(answer) if isinstance(answer, str) else answer
        found = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        wanted = case["full"][str(len(case["tokens"]) - 1)]
        assert len(found) == len(wanted)
        worst = max(worst, max(abs(wanted[f["id"]] - f["logprob"]) for f in found))
    return worst


def main():
    torch.set_num_threads(1)
    ggufs.type_of = lambda *_: "F32"
    failed = False
    for name, (config, arch, types, options, _) in ggufs.VARIANTS.items():
        if types is ggufs.K_TYPES:
            continue
        if options.get("legacy"):
            config = config | {"num_hidden_layers": 27}
        ggufs.VARIANTS[name] = (config, arch, types, options, [])
        with tempfile.TemporaryDirectory() as folder:
            ggufs.build(name, Path(folder), seed=7, greedy=False)
            cases = json.loads(Path(folder, "golden.json").read_text())["cases"]
            worst = largest_difference(sorted(Path(folder).glob("*.gguf"))[0], cases)
        print(f"{name}: largest difference {worst:.1e}")
        failed |= worst > 2e-4
    sys.exit(failed)


if __name__ == "__main__":
    main()
