"""One training step of the same model in Walet and in PyTorch, alternating, two threads each; prints the ratio.

    swift build -c release --product WaletTrainBenchmark
    .venv/bin/pip install -r Tools/requirements-oracle.txt
    .venv/bin/python Benchmarks/training.py [--model moe|dense] [--optimizer adamw|muonclip] [--rounds 3]

PyTorch runs transformers' own model: attention as scaled_dot_product_attention and each way it has of computing experts,
of which the fastest counts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
SEQUENCES, LENGTH = 16, 256
LIMIT = 90  # seconds of a peer's round: one of its ways of computing experts takes minutes and 13 GB

MOE = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": 8192, "hidden_size": 256,
    "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": None, "kv_lora_rank": 64,
    "qk_nope_head_dim": 48, "qk_rope_head_dim": 16, "v_head_dim": 64, "intermediate_size": 640,
    "moe_intermediate_size": 96, "n_routed_experts": 16, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 1,
    "topk_group": 1, "first_k_dense_replace": 1, "moe_layer_freq": 1, "scoring_func": "sigmoid",
    "topk_method": "noaux_tc", "norm_topk_prob": True, "routed_scaling_factor": 2.5, "hidden_act": "silu",
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 4096, "attention_bias": False,
    "tie_word_embeddings": False,
}
DENSE = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8192, "hidden_size": 256,
    "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 640,
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 4096,
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False,
}
MODELS = {"moe": MOE, "dense": DENSE}


def peer(kind, optimizer, steps, experts):
    """Seconds of each step in PyTorch. Runs in a process of its own: see main."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(2)
    torch.manual_seed(1)
    config = MODELS[kind]
    settings = AutoConfig.for_model(**{k: v for k, v in config.items() if k != "architectures"})
    kwargs = {"experts_implementation": experts} if kind == "moe" else {}
    model = AutoModelForCausalLM.from_config(settings, attn_implementation="sdpa", dtype=torch.float32, **kwargs)
    parameters = dict(model.named_parameters())
    hidden = [p for n, p in parameters.items() if p.dim() == 2 and "embed" not in n and "lm_head" not in n]
    chosen = {id(p) for p in hidden} if optimizer == "muonclip" else set()
    rest = [p for p in parameters.values() if id(p) not in chosen]
    optimizers = [torch.optim.AdamW(rest, lr=1e-3, weight_decay=0.1, fused=True)]
    if chosen:  # stacked experts have three dimensions and stay with AdamW, which costs PyTorch less than Muon
        optimizers.append(torch.optim.Muon(hidden, lr=1e-3, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"))
    generator = torch.Generator().manual_seed(1)
    seconds = []
    for _ in range(steps):
        rows = torch.randint(0, config["vocab_size"], (SEQUENCES, LENGTH + 1), generator=generator)
        begin = time.perf_counter()
        logits = model(rows[:, :-1], use_cache=False).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        for part in optimizers:
            part.step()
            part.zero_grad()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps(seconds))


def walet(kind, optimizer, steps):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(MODELS[kind]))
        program = ROOT / ".build" / "release" / "WaletTrainBenchmark"
        out = subprocess.run([program, folder, optimizer, str(SEQUENCES), str(LENGTH), str(steps)], check=True,
                             capture_output=True, text=True)
    return json.loads(out.stdout)["seconds"]


def torch_seconds(kind, optimizer, steps, experts):
    command = [sys.executable, __file__, "--model", kind, "--optimizer", optimizer, "--peer", experts, "--steps",
               str(steps)]
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(out.stdout.splitlines()[-1]) if out.returncode == 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="moe")
    parser.add_argument("--optimizer", choices=["adamw", "muonclip"], default="adamw")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="of each round; the first is not counted")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options.model, options.optimizer, options.steps, options.peer)

    ways = ["eager", "batched_mm", "grouped_mm"] if options.model == "moe" else ["none"]
    times = {"walet": []} | {way: [] for way in ways}
    for _ in range(options.rounds):
        times["walet"] += walet(options.model, options.optimizer, options.steps)[1:]
        for way in list(ways):
            seconds = torch_seconds(options.model, options.optimizer, options.steps, way)
            if seconds is None:
                ways.remove(way)
            times[way] += (seconds or [])[1:]
    rows = SEQUENCES * LENGTH
    for name, seconds in times.items():
        if seconds:
            median = statistics.median(seconds)
            label = name if name == "walet" else "PyTorch" if name == "none" else f"PyTorch, experts {name}"
            print(f"{label}: {rows / median:,.0f} tokens/s (step {min(seconds):.3f} / {median:.3f} / {max(seconds):.3f} s, "
                  "min / median / max)")
        else:
            print(f"PyTorch, experts {name}: does not run here within {LIMIT} s")
    best = min(statistics.median(times[way]) for way in times if way != "walet" and times[way])
    print(f"walet is {best / statistics.median(times['walet']):.2f} times as fast as the fastest PyTorch")


if __name__ == "__main__":
    main()
