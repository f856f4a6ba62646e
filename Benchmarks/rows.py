"""What is measured: each row alternates Walet with its peers, and says which ratio is wanted."""
from dataclasses import dataclass, field


@dataclass
class Contestant:
    """One program at one setting."""

    name: str  # "Walet", "llama.cpp", "memory", …
    command: list  # the first word names a program of run.py, "{moonlight}" and its like a model
    value: str  # what to take from its output: a key of Walet's JSON, or "llama-bench", "batched", "memory"
    model: str | None = None  # whose file is brought into the page cache first
    x: float | None = None  # the size, in a sweep
    reads_cache: bool = False  # the context is so long that a step's bytes are weights and cache


@dataclass
class Bar:
    """A ratio that is wanted: `subject` over `base`."""

    base: str
    at_least: float | None
    subject: str = "Walet"
    what: str = "tokens"  # or "bytes": tokens a second times the bytes that a token reads
    x: float | None = None  # of a sweep, at which size


@dataclass
class Row:
    id: str
    title: str
    contestants: list
    bars: list = field(default_factory=list)
    axis: str | None = None  # a sweep's axis
    note: str = ""  # how the figures are to be read


def walet(model, *, prompt, generate, threads, value="decode_tokens_per_second", batch=1, depth=0, name="Walet",
          precision=None, x=None):
    """walet bench; `depth` made-up tokens in the cache, over which attention takes the same time as over real ones."""
    command = ["walet", "bench", "{%s}" % model, "--prompt", prompt, "--generate", generate, "--threads", threads]
    command += ["--depth", depth] if depth else []
    command += ["--batch", batch] if batch > 1 else []
    command += ["--precision", precision] if precision else []
    return Contestant(name, [*command, "--json"], value, model, x, reads_cache=batch == 1 and depth >= 1000)


def llama(model, *, prompt=0, generate=0, depth=0, threads, repack=True, name=None, x=None):
    """llama-bench of llama.cpp; without repacking it computes from the mapped file."""
    command = ["llama.cpp/llama-bench", "-m", "{%s}" % model, "-p", prompt, "-n", generate, "-t", threads, "-r", 1]
    command += ["-d", depth] if depth else []
    command += [] if repack else ["--repack", 0]
    return Contestant(name or ("llama.cpp" if repack else "llama.cpp mapped"), [*command, "-o", "json"],
                      "llama-bench", model, x)


def ik(model, *, prompt=0, generate=0, threads, repack=False, latent=True, name=None, x=None):
    """llama-bench of ik_llama.cpp; `repack` copies the weights at load, else it computes from the mapped file."""
    command = ["ik_llama.cpp/llama-bench", "-m", "{%s}" % model, "-t", threads, "-r", 1, "-fa", 1, "-p", prompt, "-n",
               generate]
    command += ["-mla", 3, "-fmoe", 1] if latent else []
    command += ["-rtr", 1, "-mmp", 0] if repack else []
    return Contestant(name or ("ik_llama.cpp -rtr" if repack else "ik_llama.cpp"), [*command, "-o", "json"],
                      "llama-bench", model, x)


def ik_depth(model, *, contexts, threads):
    """ik_llama.cpp's decode speed at each context, from caches that it computed once: Benchmarks/ik_depth.cpp."""
    command = ["ik_llama.cpp/ik_depth", "decode", "{%s}" % model, threads, "{%s cache}" % model, *contexts]
    return [Contestant("ik_llama.cpp", command, f"depth:{n}", model, n) for n in contexts]


def batched(model, *, prompt, generate, batch, threads, x=None):
    """llama-batched-bench of llama.cpp: total tokens a second of `batch` sequences."""
    return Contestant("llama.cpp", [
        "llama.cpp/llama-batched-bench", "-m", "{%s}" % model, "-npp", prompt, "-ntg", generate, "-npl", batch,
        "-c", batch * (prompt + generate) + 256, "-t", threads, "--output-format", "jsonl"], "batched", model, x)


def memory(threads):
    return Contestant("memory", ["memory_speed", "--threads", threads, "--gigabytes", 3, "--passes", 3], "memory")


def rows(threads, quick=False, small=False):
    """All rows. `quick` has fewer tokens, `small` shorter contexts, for models that are small."""
    prefill = 128 if quick else 512
    decode = 16 if quick else 64
    contexts = [1, 256, 512] if small else [1, 1024, 2048, 4096, 8192, 16384]
    pair = dict(threads=threads)
    big, folder, smol = "moonlight", "moonlight-int4", "smollm2"
    result = [
        Row("decode-moonlight", "decode, Moonlight shape, GGUF Q4_0, from mapped file",
            [walet(big, prompt=1, generate=decode, **pair), llama(big, generate=decode, **pair),
             llama(big, generate=decode, repack=False, **pair), ik(big, generate=decode, **pair),
             ik(big, generate=decode, repack=True, **pair), memory(threads)],
            [Bar("llama.cpp", 1.25), Bar("llama.cpp mapped", None), Bar("ik_llama.cpp", 1.15),
             Bar("ik_llama.cpp -rtr", 1.0), Bar("memory", 0.9, what="bytes")]),
        Row("decode-int4", "decode, Moonlight shape, INT4 safetensors as published",
            [walet(folder, prompt=1, generate=decode, name="Walet INT4", **pair),
             walet(big, prompt=1, generate=decode, name="Walet Q4_0", **pair), memory(threads)],
            [Bar("Walet Q4_0", 0.95, subject="Walet INT4", what="bytes"),
             Bar("memory", None, subject="Walet INT4", what="bytes")]),
        Row("decode-1-thread", "decode, Moonlight shape, 1 thread",
            [walet(big, prompt=1, generate=decode, threads=1), llama(big, generate=decode, threads=1, repack=False),
             ik(big, generate=decode, threads=1), memory(1)],
            [Bar("llama.cpp mapped", 1.3), Bar("ik_llama.cpp", 1.3), Bar("memory", None, what="bytes")]),
        Row("decode-smollm2", "decode, SmolLM2-135M Q4_1",
            [walet(smol, prompt=1, generate=decode, **pair), llama(smol, generate=decode, **pair),
             ik(smol, generate=decode, latent=False, **pair), memory(threads)],
            [Bar("ik_llama.cpp", 1.1), Bar("llama.cpp", None), Bar("memory", None, what="bytes")]),
        Row("prefill-moonlight", f"prefill {prefill}, Moonlight shape",
            [walet(big, prompt=prefill, generate=1, value="prefill_tokens_per_second", **pair),
             llama(big, prompt=prefill, **pair), ik(big, prompt=prefill, **pair),
             ik(big, prompt=prefill, repack=True, **pair)],
            [Bar("ik_llama.cpp", 1.2), Bar("ik_llama.cpp -rtr", 1.2), Bar("llama.cpp", None)]),
        Row("prefill-smollm2", f"prefill {prefill}, SmolLM2-135M Q4_1",
            [walet(smol, prompt=prefill, generate=1, value="prefill_tokens_per_second", **pair),
             llama(smol, prompt=prefill, **pair), ik(smol, prompt=prefill, latent=False, **pair)],
            [Bar("ik_llama.cpp", 1.1), Bar("llama.cpp", None)]),
    ]
    result.append(Row(
        "context", "decode against context length, Moonlight shape",
        [walet(big, prompt=1, depth=n - 1, generate=16, x=n, **pair) for n in contexts]
        + ik_depth(big, contexts=contexts, **pair),
        [Bar("ik_llama.cpp", 1.2 if n >= (512 if small else 8192) else None, x=n) for n in contexts],
        axis="context, tokens"))
    for batch in [4, 8, 16]:
        result.append(Row(
            f"batch-{batch}", f"decode at batch {batch}, Moonlight shape, all sequences",
            [walet(big, prompt=16, generate=32, batch=batch, **pair),
             batched(big, prompt=16, generate=32, batch=batch, **pair)], [Bar("llama.cpp", 1.5)]))
    result += [
        Row("batch-16-smollm2", "decode at batch 16, SmolLM2-135M Q4_1, all sequences",
            [walet(smol, prompt=16, generate=decode // 2, batch=16, **pair),
             batched(smol, prompt=16, generate=decode // 2, batch=16, **pair)], [Bar("llama.cpp", 2.0)]),
        Row("exact-moonlight", "decode in exact mode, Moonlight shape",
            [walet(big, prompt=1, generate=decode // 4, precision="exact", name="Walet exact", **pair),
             walet(big, prompt=1, generate=decode, precision="fast", name="Walet fast", **pair)],
            [Bar("Walet fast", 1 / 6, subject="Walet exact")]),
        Row("exact-smollm2", "decode in exact mode, SmolLM2-135M Q4_1",
            [walet(smol, prompt=1, generate=decode, precision="exact", name="Walet exact", **pair),
             walet(smol, prompt=1, generate=decode, precision="fast", name="Walet fast", **pair)],
            [Bar("Walet fast", 1 / 6, subject="Walet exact")]),
    ]

    def sweep(id, axis, title, contestants):
        result.append(Row(id, title, contestants, axis=axis))

    sweep("sweep-batch", "sequences in the batch", "decode time against batch size",
          [walet(big, prompt=16, generate=16, batch=n, x=n, **pair) for n in [1, 2, 4, 8, 16]]
          + [batched(big, prompt=16, generate=16, batch=n, x=n, **pair) for n in [1, 2, 4, 8, 16]])
    sweep("sweep-experts", "active experts", "decode time against active experts",
          [walet(f"moonlight-int4-top{n}", prompt=1, generate=16, x=n, **pair) for n in ([1, 2, 4] if small else [1, 2, 4, 6, 8, 12])])
    counts = sorted({n for n in (1, 2, 4, 8, 16, 32, 64) if n <= threads} | {threads})
    sweep("sweep-threads", "threads", "decode time against threads",
          [walet(big, prompt=1, generate=16, threads=n, x=n) for n in counts]
          + [ik(big, generate=16, threads=n, x=n) for n in counts])
    return result
