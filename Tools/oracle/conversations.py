"""Conversations in the template of models that Walet trains: texts, tokens and the assistant's side as transformers has
them.

The template is taken from ConversationTemplate.swift. transformers marks the assistant's tokens where a template has
`generation` blocks; here is a copy that has them, which renders the same.
"""

import json
import re
import textwrap
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from . import golden

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "Sources/WaletTrain/Data/ConversationTemplate.swift"


def turn(role, content, thinking=None):
    return {"role": role, "content": content} | ({"reasoning_content": thinking} if thinking is not None else {})


def user(content):
    return turn("user", content)


def answer(content, thinking=None):
    return turn("assistant", content, thinking)


# name: messages, enable_thinking (None for what the template does unasked)
CASES = {
    "thinking": ([user("What is 2 + 3?"), answer("5", "2 + 3 = 5")], None),
    "thinking asked for": ([user("What is 12 + 30?"), answer("It is 42.\n", "2 + 0 = 2\n1 + 3 = 4")], True),
    "no thoughts": ([user("Hello!"), answer("Hi.")], None),
    "empty thoughts": ([user("Hello!"), answer("Hi.", "")], None),
    "thinking off": ([user("Berapa 7 - 4?"), answer("3")], False),
    "system": ([turn("system", "Be short."), user("Hello"), answer("Hi", "a greeting")], None),
    "turns": ([user("a"), answer("b"), user("c"), answer("d", "now c"), user("e"), answer("f", "then e")], None),
    "turns off": ([user("a"), answer("b"), user("c c"), answer("d d"), user("e"), answer("f")], False),
    "turns without thoughts": ([user("one"), answer("1"), user("two"), answer("2")], None),
    "two answers": ([user("one"), answer("1", "first"), answer("2", "second")], None),
    "ends with the user": ([user("one"), answer("1"), user("two")], None),
    "scripts": ([user("über 今天 🙂 ٣٤ 1234"), answer("naïve  \n\n ok", " 5 x 6 = 30\t\n")], None),
}


def template():
    text = re.search(r'source = """\n(.*?)"""', SOURCE.read_text(), re.S)[1]
    return textwrap.dedent(text).removesuffix("\n")


def marked(text):
    """What is learned between `generation` and `endgeneration`: all after the prompt. A turn whose thoughts are left out
    later is none that its prompt led to."""
    begin = "{{- '<|im_assistant|><think>' -}}\n"
    end = "{{- '</think>' -}}{{- message.content -}}{{- '<|im_end|>' -}}\n"
    body = text[text.index(begin) + len(begin):text.index(end)]
    assert body.count("\n") == 1 and text.count(begin + body + end) == 1
    thoughts = ("{%- if loop.index0 > marks.last and message.reasoning_content -%}{{- message.reasoning_content -}}"
                "{%- endif -%}")
    off = "enable_thinking is defined and not enable_thinking"
    shown = "{{- '<|im_assistant|><think>' -}}"
    dropped = "loop.index0 <= marks.last and message.reasoning_content"
    return text.replace(begin + body + end, "".join([
        "{%- if ", dropped, " -%}", shown, "{{- '</think>' -}}{{- message.content -}}{{- '<|im_end|>' -}}",
        "{%- elif ", off, " -%}", shown, thoughts, "{{- '</think>' -}}",
        "{%- generation -%}{{- message.content -}}{{- '<|im_end|>' -}}{%- endgeneration -%}",
        "{%- else -%}", shown, "{%- generation -%}", thoughts,
        "{{- '</think>' -}}{{- message.content -}}{{- '<|im_end|>' -}}{%- endgeneration -%}", "{%- endif -%}\n",
    ]))


def write(path):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(ROOT / "Tests/Fixtures/vocabulary/qwen2-700.json"), bos_token="<|begin|>", eos_token="<|end|>",
        pad_token="<|pad|>", clean_up_tokenization_spaces=False)
    source = template()
    facts = {"template": source, "cases": []}
    for name, (messages, thinking) in CASES.items():
        options = {} if thinking is None else {"enable_thinking": thinking}
        render = lambda text, **more: tokenizer.apply_chat_template(messages, chat_template=text, **options, **more)
        whole = render(source, tokenize=False)
        asked = render(source, return_dict=True)
        seen = render(marked(source), return_dict=True, return_assistant_tokens_mask=True)
        assert seen["input_ids"] == asked["input_ids"]
        assert tokenizer(whole, add_special_tokens=False)["input_ids"] == asked["input_ids"]
        facts["cases"].append({
            "name": name, "messages": messages, "thinking": thinking, "text": whole,
            "prompt": render(source, tokenize=False, add_generation_prompt=True), "tokens": asked["input_ids"],
            "learned": [bool(bit) for bit in seen["assistant_masks"]],
        })
    path.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"conversations: {len(facts['cases'])} cases, {path.stat().st_size / 1e3:.0f} KB")
