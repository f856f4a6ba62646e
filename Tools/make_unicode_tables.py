"""Writes Sources/WaletText/Tokenizer/UnicodeTables.swift by measuring the reference engines.

Run with the packages of Tools/requirements-text.txt:  python Tools/make_unicode_tables.py
The base is Unicode 14, which both PCRE2 10.42 and Python 3.11's unicodedata have.
"""
import pathlib
import sys
import unicodedata

import regex
import tiktoken
from tokenizers import Regex, normalizers, pre_tokenizers

assert unicodedata.unidata_version.startswith("14."), unicodedata.unidata_version
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TEXTS = ["".join(map(chr, ALL[i : i + 65536])) for i in range(0, len(ALL), 65536)]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
SCRIPTS = "Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Devanagari Bengali Kannada Telugu Khmer".split()


def oniguruma(pattern):
    splitter = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(c) for text in TEXTS for piece, _ in splitter.pre_tokenize_str(text) for c in piece}


def rust(pattern):
    ranks = {bytes([i]): i for i in range(256)}
    encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return {ord(c) for t in TEXTS for c in bytes(encoding.encode(t, disallowed_special=())).decode()}


def measured(names):
    result = {}
    for name in names:
        members = oniguruma(r"\p{%s}" % name)
        if members != rust(r"\p{%s}" % name):
            sys.exit(f"tokenizers and tiktoken differ in {name}: two tables are needed")
        for c in members:
            result[c] = name
    return result


def runs(items):
    """[(first, last, value)] of sorted (code point, value)."""
    out = []
    for c, value in items:
        if out and out[-1][1] == c - 1 and out[-1][2] == value:
            out[-1][1] = c
        else:
            out.append([c, c, value])
    return out


def written(run):
    first, last, value = run
    return f"{first:x}:{value}" if first == last else f"{first:x}-{last:x}:{value}"


category = measured(CATEGORIES)
script = measured(SCRIPTS)


def length(c):
    return len(chr(c).encode())


# Stand-ins come from what Unicode 14 has assigned and all later versions leave alone.
pool = {}
for c in ALL:
    if unicodedata.category(chr(c)) != "Cn" and unicodedata.category(chr(c)) == category[c] and c != 0x180E:
        pool.setdefault((length(c), category[c], script.get(c)), []).append(c)
UNASSIGNED = {2: 0x378, 3: 0xFFFE, 4: 0x1FFFE}
changes = []
for c in ALL:
    if c == 0x180E:
        changes.append((c, 0x200B))
    elif unicodedata.category(chr(c)) != category[c]:
        same = pool.get((length(c), category[c], script.get(c))) or pool[(length(c), category[c], None)]
        changes.append((c, min(same, key=lambda s: abs(s - c))))
    elif category[c] == "Cn" and regex.match(r"\P{Cn}", chr(c)):
        changes.append((c, UNASSIGNED[length(c)]))  # assigned after the reference's version
# One stand-in a run: neighbours share the first one's.
merged = []
for c, s in changes:
    kind = (length(c), category[c], script.get(c))
    if merged and merged[-1][1] == c - 1 and merged[-1][3] == kind:
        merged[-1][1] = c
    else:
        merged.append([c, c, s, kind])
class_changes = [written((a, b, f"{s:x}")) for a, b, s, _ in merged]


def normalized(name):
    n = getattr(normalizers, name)()
    return {c: n.normalize_str(chr(c)) for c in ALL}


nfd, nfkd, nfc, lower = (normalized(n) for n in ("NFD", "NFKD", "NFC", "Lowercase"))
HANGUL = range(0xAC00, 0xAC00 + 11172)
hexes = lambda text: ",".join(f"{ord(c):x}" for c in text)
canonical, compatibility, cased = [], [], []
order = normalizers.NFD()
for c in ALL:
    if c in HANGUL:
        continue
    if nfd[c] != chr(c):
        # "=" marks what composes back.
        canonical.append(f"{c:x}:{hexes(nfd[c])}" + ("=" if nfc[c] == chr(c) else ""))
    if nfkd[c] != nfd[c]:
        compatibility.append(f"{c:x}:{hexes(nfkd[c])}")
    if lower[c] != chr(c):
        cased.append((c, f"{ord(lower[c]) - c:d}" if len(lower[c]) == 1 else hexes(lower[c]) + "*"))
# U+0345 has the highest class but one, so whatever has a class moves before it.
classes = [
    (c, unicodedata.combining(chr(c)))
    for c in ALL
    if unicodedata.combining(chr(c)) and (c == 0x345 or order.normalize_str("a\u0345" + chr(c))[-1] == "\u0345")
]
# Every new pair must compose as unicodedata composes it, and full decomposition must be what is stored.
output = pathlib.Path(__file__).parent.parent / "Sources/WaletText/Tokenizer/UnicodeTables.swift"


def literal(words):
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > 100:
            lines.append(line)
            line = ""
        line += word + " "
    lines.append(line)
    return '"""\n' + " \\\n".join(f"        {l.rstrip()}" for l in lines) + "\n" + '        """'


output.write_text(f"""// Made by Tools/make_unicode_tables.py; do not edit.

/// What the reference engines' Unicode data say, as far as Walet cannot ask its own platform.
enum UnicodeTables {{
    /// `first-last:stand-in` in hexadecimal; see ``UnicodeShadow``.
    static let classChanges = {literal(class_changes)}

    /// `scalar:decomposition`, full and canonical, with `=` where the sequence composes again. Hangul is computed.
    static let canonical = {literal(canonical)}

    /// `scalar:decomposition`, full, where compatibility differs from canonical.
    static let compatibility = {literal(compatibility)}

    /// `first-last:class`, the canonical combining classes other than 0.
    static let combiningClasses = {literal([written((a, b, f"{v:x}")) for a, b, v in runs(classes)])}

    /// `first-last:difference` in decimal to the lower-case scalar, or `scalar:sequence*`.
    static let lowercase = {literal([written(r) for r in runs(cased)])}
}}
""")
print(len(class_changes), len(canonical), len(compatibility), len(classes), len(cased), output.stat().st_size)
