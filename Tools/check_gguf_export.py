#!/usr/bin/env python3
"""Checks a file of `walet export gguf` with others' programs: the gguf package, llama.cpp, tokenizers and transformers.

    .venv/bin/pip install -r Tools/requirements-oracle.txt
    .venv/bin/python Tools/check_gguf_export.py FOLDER                                # a model with its tokenizer
    .venv/bin/python Tools/check_gguf_export.py Tests/Fixtures/models/kimi-k2-thinking \\
        --tokenizer Tests/Fixtures/vocabulary/deepseek-1000.json                      # the fixtures have none

--tokenizer puts a tokenizer into a copy of the folder, whose embedding and head get as many rows as it has tokens, and
whose rms_norm_eps becomes 1e-6;
--splitting qwen2 gives that tokenizer another pre_tokenizer. --server names llama.cpp's llama-server; `make bench` builds
one. Where --type is not given, all weights must be equal to the published ones to the last bit, FP8 within BF16's rounding.
Answers are compared step by step after the same tokens. With F32 alone each step must be transformers'; llama.cpp rounds
activations to BF16 for BF16 and to 8 bits for Q4_0 and Q8_0, which the fixtures' random routers amplify: there --share of
the steps is enough. Walet's exact precision must take every token of transformers' on the file's weights.
"""
import argparse
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import safetensors.torch
import tokenizers
import torch
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize

from checks import check, run
from llama_server import llama_server, request
from oracle import ggml, ggufs, golden

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVER = ROOT / "Benchmarks/.bench/peers/llama.cpp/build/bin/llama-server"
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


def published(folder):
    """The folder's weights under their names as fp32: integers times scales and FP8 times scales, not rounded."""
    stored, out = {}, {}
    for path in sorted(folder.glob("*.safetensors")):
        stored |= safetensors.torch.load_file(path)
    for name, tensor in stored.items():
        module, _, kind = name.rpartition(".")
        if kind in ("weight_scale", "weight_shape", "weight_scale_inv"):
            continue
        if kind == "weight_packed":
            rows, columns = stored[module + ".weight_shape"].tolist()
            bits = 32 * tensor.shape[1] // columns
            shifts = torch.arange(0, 32, bits)
            values = (tensor.long()[:, :, None] >> shifts & (1 << bits) - 1).reshape(rows, -1)[:, :columns]
            scale = stored[module + ".weight_scale"].float().reshape(rows, -1)
            scale = scale.repeat_interleave(math.ceil(columns / scale.shape[1]), 1)[:, :columns]
            out[module + ".weight"] = (values - (1 << bits - 1)).float() * scale
        elif tensor.dtype == torch.float8_e4m3fn:
            scale = stored[module + ".weight_scale_inv"].float().repeat_interleave(128, 0).repeat_interleave(128, 1)
            out[name] = tensor.float() * scale[: tensor.shape[0], : tensor.shape[1]]
        elif tensor.ndim == 3:  # all experts of a layer, as transformers 5 keeps them
            for expert, matrix in enumerate(tensor.float()):
                halves = matrix.chunk(2) if kind == "gate_up_proj" else [matrix]
                for part, half in zip(kind.removesuffix("_proj").split("_"), halves):
                    out[f"{module}.{expert}.{part}_proj.weight"] = half.contiguous()
        else:
            out[name] = tensor.float()
    return out


def with_tokenizer(folder, target, path, splitting):
    """A copy of a folder with a tokenizer, and as many rows of embedding and head as that has tokens."""
    shutil.copytree(folder, target)
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    if splitting == "qwen2":
        split = {"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": False}
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, level]}
    (target / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    beside = path.with_name("tokenizer_config.json")
    special = [token["content"] for token in tokenizer["added_tokens"]]
    (target / "tokenizer_config.json").write_text(
        beside.read_text(encoding="utf-8") if beside.exists()
        else json.dumps({"bos_token": special[0], "eos_token": special[1]}))
    rows = 1 + max([token["id"] for token in tokenizer["added_tokens"]] + list(tokenizer["model"]["vocab"].values()))
    config = json.loads((target / "config.json").read_text())
    config["vocab_size"] = rows
    # llama.cpp takes it for the norms on the latents too, for which transformers has 1e-6: the fixtures' small latents
    # would show little else.
    config["rms_norm_eps"] = 1e-6
    (target / "config.json").write_text(json.dumps(config))
    for file in target.glob("*.safetensors"):
        tensors = safetensors.torch.load_file(file)
        for name in {"model.embed_tokens.weight", "lm_head.weight"} & tensors.keys():
            noise = torch.randn(rows, tensors[name].shape[1], generator=torch.Generator().manual_seed(len(name)))
            tensors[name] = (noise * tensors[name].float().std()).to(tensors[name].dtype)
        safetensors.torch.save_file(tensors, file, {"format": "pt"})
    return target


class Model:
    """A folder, its GGUF file and the programs."""

    def __init__(self, arguments, scratch):
        self.walet, self.server, self.type = str(arguments.walet), str(arguments.server), arguments.type
        self.steps, self.share = arguments.steps, arguments.share
        self.folder = arguments.folder
        if arguments.tokenizer:
            self.folder = with_tokenizer(self.folder, scratch / "model", arguments.tokenizer, arguments.splitting)
        self.config = json.loads((self.folder / "config.json").read_text())
        self.is_fp8 = self.config.get("quantization_config", {}).get("quant_method") == "fp8"
        self.gguf = scratch / "model.gguf"
        command = [self.walet, "export", "gguf", str(self.folder), "--out", str(self.gguf)]
        result = subprocess.run(command + (["--type", self.type] if self.type else []), capture_output=True, text=True)
        print(result.stdout + result.stderr, end="")
        result.check_returncode()
        self.fields, self.stored = ggml.read([self.gguf])
        self.weights = published(self.folder)
        layers = self.config["num_hidden_layers"]  # those after them predict, and are left out
        self.weights = {name: tensor for name, tensor in self.weights.items()
                        if not name.startswith("model.layers.") or int(name.split(".")[2]) < layers}
        lines = (ROOT / "Tests/Fixtures/vocabulary/texts.jsonl").read_text(encoding="utf-8").splitlines()
        self.texts = [json.loads(line)["text"] for line in lines][: arguments.texts]
        self.tokenizer = tokenizers.Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    def betas(self):
        """llama.cpp does not read YaRN's bounds from deepseek2 files."""
        scaling = self.config.get("rope_scaling") or self.config.get("rope_parameters") or {}
        return [word for name in ("beta_fast", "beta_slow") if name in scaling
                for word in (f"--yarn-{name.replace('_', '-')}", str(scaling[name]))]

    def post(self, url, path, body):
        status, _, answer = request(url + path, body)
        assert status == 200, (status, answer[:500])
        return json.loads(answer)

    def run_walet(self, *arguments, text=None):
        answer = subprocess.run([self.walet, *map(str, arguments)], input=text, capture_output=True, check=True)
        return json.loads(answer.stdout)


@check
def the_package_reads_the_file(m):
    arch = m.fields["general.architecture"]
    names = {"block_count": "num_hidden_layers", "embedding_length": "hidden_size", "vocab_size": "vocab_size"}
    for key, name in names.items():
        assert m.fields[f"{arch}.{key}"] == m.config[name], key
    count = len(m.fields["tokenizer.ggml.tokens"])
    assert count == len(m.fields["tokenizer.ggml.token_type"]) == m.config["vocab_size"]
    print(f"        {arch}, {len(m.stored)} tensors, {count} tokens, pre {m.fields['tokenizer.ggml.pre']}")


def rounded(tensor, kind):
    """What a matrix becomes by --type, by PyTorch and the gguf package."""
    if kind in ("q8_0", "q4_0"):
        number = GGMLQuantizationType[kind.upper()]
        return torch.from_numpy(dequantize(quantize(tensor.numpy(), number), number)).reshape(tensor.shape)
    return tensor.to({"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[kind]).float()


@check
def weights_are_the_published_ones(m):
    arch = m.fields["general.architecture"]
    weights = {k: v for k, v in m.weights.items() if k != "lm_head.weight" or not m.config["tie_word_embeddings"]}
    wanted = dict(ggufs.gguf_tensors(weights, m.config, arch, False))
    assert wanted.keys() == m.stored.keys(), wanted.keys() ^ m.stored.keys()
    if m.config.get("rope_interleave") is False:
        print("        rows of q_b and kv_a are in another order and not compared")
        wanted = {k: v for k, v in wanted.items() if "attn_q_b.w" not in k and "attn_kv_a_mqa" not in k}
    kind = m.type or ("bf16" if m.is_fp8 else None)
    equal = [k for k in wanted if torch.equal(m.stored[k], wanted[k])]
    others = [k for k in wanted.keys() - equal if kind and torch.equal(m.stored[k], rounded(wanted[k], kind))]
    print(f"        {len(equal)} of {len(wanted)} tensors equal to the last bit" +
          (f", {len(others)} equal to what they are rounded to {kind}" if others else ""))
    assert len(equal) + len(others) == len(wanted), wanted.keys() - equal - others


@check
def tokens_are_those_of_tokenizers(m):
    wanted = [m.tokenizer.encode(text, add_special_tokens=False).ids for text in m.texts]
    with llama_server(m.server, str(m.gguf)) as url:
        body = {"add_special": False, "parse_special": True}
        found = [m.post(url, "/tokenize", {"content": text} | body)["tokens"] for text in m.texts]
    llama = sum(a != b for a, b in zip(wanted, found))
    few = list(zip(m.texts, wanted))[:100]
    walet = sum(m.run_walet("tokenize", path, "-", "--json", text=text.encode())["tokens"] != ids
                for text, ids in few for path in (m.folder, m.gguf))
    print(f"        {len(m.texts)} texts, {sum(map(len, wanted))} tokens: {llama} texts differ in llama.cpp, {walet} in Walet "
          f"({len(few)} texts, folder and file)")
    assert llama == 0 and walet == 0


@check
def greedy_answers_are_transformers(m):
    weights = m.weights
    if m.type or m.is_fp8:  # what was rounded is what llama.cpp has
        if m.fields["general.architecture"] == "deepseek2":
            weights = ggml.deepseek_weights(m.stored)
        else:
            weights = ggml.llama_weights(m.stored, m.config["num_attention_heads"], m.config["num_key_value_heads"],
                                         permuted=m.fields["general.architecture"] == "llama")
    model = golden.reference_model(m.config, weights)
    prompts = [m.tokenizer.encode(text, add_special_tokens=False).ids[:40] for text in m.texts if len(text) > 60][:8]
    steps = same = 0
    ties, logprob, walet = [], 0.0, {"exact": [], "fast": []}
    with llama_server(m.server, str(m.gguf), "-fa", "off", "-ctk", "f32", "-ctv", "f32", *m.betas()) as url:
        for prompt in prompts:
            answer = m.post(url, "/completion", {
                "prompt": prompt, "n_predict": m.steps, "temperature": 0, "return_tokens": True, "cache_prompt": False})
            tokens = answer["tokens"]
            table = golden.logprobs(model, prompt + tokens)
            for index, token in enumerate(tokens):
                after = table[len(prompt) + index - 1]
                steps += 1
                same += after.argmax().item() == token
                if after.argmax().item() != token:
                    ties.append((after.max() - after[token]).item())
            # The token that is drawn must be text of its own, or the server leaves its probabilities out.
            answer = m.post(url, "/completion", {
                "prompt": prompt, "n_predict": 1, "n_probs": m.config["vocab_size"], "temperature": 0,
                "post_sampling_probs": False, "logit_bias": [[m.tokenizer.token_to_id("A"), 1000.0]]})
            entries = answer["completion_probabilities"][0]["top_logprobs"]
            assert len(entries) == m.config["vocab_size"]
            after = table[len(prompt) - 1]
            logprob = max([logprob] + [abs(entry["logprob"] - after[entry["id"]].item()) for entry in entries])
            for precision, gaps in walet.items():
                scores = m.run_walet("score", m.gguf, "--tokens", ",".join(map(str, prompt + tokens)), "--top", 1,
                                     "--precision", precision, "--json")
                for index in range(len(tokens)):
                    after, place = table[len(prompt) + index - 1], len(prompt) + index - 1
                    best = scores["top"][place][0]["id"]
                    if best != after.argmax().item():
                        gaps.append((after.max() - after[best]).item())
    print(f"        {len(prompts)} prompts, {steps} steps: llama.cpp takes transformers' token in {same}, in the others one "
          f"that is at most {max(ties, default=0):.3f} nats behind; largest difference of any log probability after the prompts {logprob:.2g}")
    for precision, gaps in walet.items():
        print(f"        Walet with the file, {precision}: {steps - len(gaps)} of {steps}, at most {max(gaps, default=0):.3f} "
              "nats behind")
    is_float = {tensor.tensor_type.name for tensor in GGUFReader(m.gguf).tensors} == {"F32"}
    assert same >= steps * (1 if is_float else m.share) and not walet["exact"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path)
    parser.add_argument("--splitting", choices=["qwen2"])
    parser.add_argument("--type", choices=["f16", "bf16", "f32", "q8_0", "q4_0"])
    parser.add_argument("--server", type=pathlib.Path, default=SERVER)
    parser.add_argument("--walet", type=pathlib.Path, default=ROOT / ".build/release/walet")
    parser.add_argument("--only", help="checks by name, with commas between")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--share", type=float, default=0.9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(run("export gguf", Model(arguments, pathlib.Path(scratch)), only=arguments.only))
