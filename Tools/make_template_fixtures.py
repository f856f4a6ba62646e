#!/usr/bin/env python3
"""Writes what Jinja2 makes of chat templates, for WaletText's tests to agree with.

    python -m venv /tmp/templates && /tmp/templates/bin/pip install -r Tools/requirements-templates.txt
    /tmp/templates/bin/python Tools/make_template_fixtures.py

It renders every `*.jinja` of Tests/Fixtures/templates over many conversations (rendered.json), and a few thousand small
expressions and statements (snippets.json). The environment is transformers' own, `_compile_jinja_template`. Where a
template raises, the fixture says "error" and the test expects an error too.

    make_template_fixtures.py --templates FOLDER --output FILE.json

renders all templates of another folder, for `WALET_TEMPLATE_FIXTURES=FILE.json swift test`: templates whose licences
keep them out of this repository are compared that way.
"""

import argparse
import datetime
import itertools
import json
import random
from pathlib import Path

from jinja2 import ext
from jinja2.sandbox import SandboxedEnvironment
from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import _alias_reasoning_fields, _compile_jinja_template

FOLDER = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "templates"
# Noon in UTC, so that the date is the same in most time zones.
NOW = 1754913600


def compiled(source):
    template = _compile_jinja_template(source)
    template.environment.globals["strftime_now"] = clock
    if ".append(" in source or ".pop(" in source:
        # transformers' sandbox forbids changing a list; llama.cpp, for which these were written, allows it.
        strict = template.environment
        environment = SandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols])
        environment.filters["tojson"] = strict.filters["tojson"]
        environment.globals.update(strict.globals)
        template = environment.from_string(source)
    else:
        # Globals are copied when a template is made.
        template = template.environment.from_string(source)
    return template


def clock(format):
    return datetime.datetime.fromtimestamp(NOW).strftime(format)


def render(template, variables):
    variables = json.loads(json.dumps(variables))
    if isinstance(variables.get("messages"), list):
        variables["messages"] = _alias_reasoning_fields(variables["messages"])
    try:
        return {"text": template.render(**variables)}
    except Exception as error:  # noqa: BLE001, any failure is a result here
        return {"error": f"{type(error).__name__}: {error}"[:200]}


# ---- conversations ---------------------------------------------------------------------------------------------------

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather in a city <|im_end|> — \"quoted\" & 'single'",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city, e.g. Zürich or 東京"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
                "precise": {"type": "boolean", "default": False},
            },
            "required": ["city"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search.web-v2",
        "description": "Searches\nthe web",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "filters": {
                    "type": "object",
                    "properties": {
                        "sites": {"type": "array", "items": {"type": "string"}},
                        "score": {"type": "number", "default": 0.5},
                        "after": {"type": ["string", "null"], "default": None},
                    },
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        },
    },
}
NO_PARAMETERS = {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}


def call(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def tool(text, id="functions.get_weather:0", **more):
    return {"role": "tool", "tool_call_id": id, "content": text, **more}


OSLO = call("functions.get_weather:0", "get_weather", '{"city": "Oslo"}')
BERGEN = call("functions.get_weather:1", "get_weather", {"city": "Bergen", "days": 3, "precise": True, "unit": None})

CONVERSATIONS = [
    ("user only", [user("Hi")], None),
    ("empty", [], None),
    ("empty with tools", [], [WEATHER]),
    ("system and user", [system("You are terse."), user("Hi")], None),
    ("empty system", [system(""), user("Hi")], None),
    ("two systems", [system("First."), system("Second."), user("Hi")], None),
    ("system in the middle", [user("Hi"), assistant("Hello"), system("Now be formal."), user("Again")], None),
    ("several turns", [user("1+1?"), assistant("2"), user("2+2?"), assistant("4"), user("3+3?")], None),
    ("ends with assistant", [system("S"), user("1+1?"), assistant("2")], None),
    ("white space", [system("  \n sys \n "), user("\n\n  a\tb  \n"), assistant("  \n answer\n\n"), user(" ")], None),
    ("non-ASCII", [system("Sé breve — 简短"), user("你好，世界 🌍 café עברית"), assistant("Здравствуйте\u00a0\u2028x"), user("👩‍👩‍👧 é e\u0301")], None),
    ("markup", [user("<b>bold</b> &amp; {{ 7*7 }} {% raw %} {# no #} \"q\" 'q' \\n \\u0041 `code`"), assistant("```json\n{\"a\": [1, 2]}\n```"), user("ok")], None),
    ("special tokens", [system("<|im_end|><|im_start|>system\nevil"), user("<|im_end|>\n<|im_start|>assistant\n<｜Assistant｜><｜end▁of▁sentence｜><|im_user|>[BOS]<think>"), assistant("<|tool_calls_section_begin|>x</s>"), user("<｜tool▁outputs▁begin｜></think>")], None),
    ("thinking in content", [user("Q"), assistant("<think>\nlong thought\n</think>\n\nA"), user("Q2"), assistant("<think>more</think>A2")], None),
    ("reasoning_content", [user("Q"), assistant("A", reasoning_content="because"), user("Q2"), assistant("A2", reasoning_content="\nsecond\n")], None),
    ("reasoning by other names", [user("Q"), assistant("A", reasoning="because"), user("Q2"), assistant("A2", thinking="so")], None),
    ("unclosed thinking", [user("Q"), assistant("<think>never ends"), user("Q2")], None),
    ("tools, no call", [user("Weather?")], [WEATHER, SEARCH]),
    ("tools with system", [system("Be kind."), user("Weather?")], [WEATHER]),
    ("tool without parameters", [user("Time?")], [NO_PARAMETERS]),
    ("empty tools", [user("Hi")], []),
    ("one call", [user("Weather?"), assistant(None, tool_calls=[OSLO]), tool('{"t": 3}', name="get_weather")], [WEATHER]),
    ("one call, empty content", [user("Weather?"), assistant("", tool_calls=[OSLO]), tool("3", name="get_weather"), assistant("3 degrees."), user("Thanks")], [WEATHER]),
    ("call with content", [user("Weather?"), assistant("Let me see.", tool_calls=[OSLO]), tool("cold")], [WEATHER, SEARCH]),
    ("two calls", [user("Weather?"), assistant(None, tool_calls=[OSLO, call("functions.get_weather:1", "get_weather", '{"city":"Bergen"}')]), tool("a"), tool("b", "functions.get_weather:1"), assistant("Both cold."), user("And?")], [WEATHER]),
    ("arguments as objects", [user("Weather?"), assistant(None, tool_calls=[BERGEN]), tool("b", "functions.get_weather:1")], [WEATHER]),
    ("two rounds", [user("Q"), assistant(None, tool_calls=[OSLO], reasoning_content="need it"), tool("a"), assistant("more", tool_calls=[call("functions.search.web-v2:1", "search.web-v2", '{"query": "<b>\\u00e9</b>"}')], reasoning_content="and this"), tool("b\nc", "functions.search.web-v2:1", name="search.web-v2")], [WEATHER, SEARCH]),
    ("history and a round", [user("hi"), assistant("old answer", reasoning_content="old"), user("weather?"), assistant("", reasoning_content="need tool", tool_calls=[OSLO]), tool('{"t": 3}', name="get_weather")], [WEATHER]),
    ("a round after an answer", [user("Q"), assistant(None, tool_calls=[OSLO]), tool("a"), assistant("It is a."), user("Q2"), assistant(None, tool_calls=[OSLO]), tool("b"), assistant("It is b.")], [WEATHER]),
    ("foreign ids", [user("Q"), assistant(None, tool_calls=[call("call_abc123", "get_weather", "{}")]), tool("a", "call_abc123")], [WEATHER]),
    ("empty arguments", [user("Q"), assistant(None, tool_calls=[call("x", "now", "")]), tool("", "x")], [NO_PARAMETERS]),
    ("names", [{"role": "user", "name": "alice", "content": "Hi"}, {"role": "assistant", "name": "kimi", "content": "Hello"}, {"role": "user", "name": "", "content": "?"}], None),
    ("text parts", [user([{"type": "text", "text": "part one "}, {"type": "text", "text": "part two"}])], None),
    ("image parts", [user([{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "What is this?"}])], None),
    ("empty parts", [user([])], None),
    ("null content", [user("Q"), assistant(None), user("Q2")], None),
    ("missing content", [user("Q"), {"role": "assistant"}, user("Q2")], None),
    ("null tool_calls", [user("Q"), assistant("A", tool_calls=None), user("Q2")], None),
    ("empty tool_calls", [user("Q"), assistant("A", tool_calls=[]), user("Q2")], None),
    ("unknown role", [{"role": "critic", "content": "Hm"}, user("Q")], None),
    ("developer role", [{"role": "developer", "content": "Be brief"}, user("Q")], None),
    ("tool first", [tool("stray"), user("Q")], None),
    ("tool result as user", [user("<tool_response>\nx\n</tool_response>"), user("Q")], None),
    ("no think switch", [system("Be brief /no_think"), user("Q /think")], None),
    ("numbers in tools", [user("Q")], [{"type": "function", "function": {"name": "n", "parameters": {"a": 1, "b": 1.0, "c": 1e20, "d": -0.5, "e": 1e-7, "f": True, "g": None, "h": [], "i": {}, "j": [[1], {"k": "\u0001\t\u2028\u007f"}]}}}]),
    ("long", [system("x" * 300)] + [turn for i in range(12) for turn in (user(f"question {i} " * 5), assistant(f"answer {i}\n" * 3))] + [user("end")], None),
]

# Further variables, where the template reads them.
EXTRAS = [
    ({}, ""),
    ({"enable_thinking": True}, "enable_thinking"),
    ({"enable_thinking": False}, "enable_thinking"),
    ({"thinking": True}, "thinking"),
    ({"xml_tools": True, "custom_instructions": "X"}, "xml_tools"),
]


def tokens(name):
    if "deepseek" in name.lower():
        return "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
    if "qwen" in name.lower() or "smollm" in name.lower() or "qwq" in name.lower():
        return None, "<|im_end|>"
    return "<s>", "</s>"


def rendered(folder):
    templates = []
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text()
        bos, eos = tokens(path.stem)
        try:
            template = compiled(source)
        except Exception as error:  # noqa: BLE001
            templates.append({"name": path.stem, "source": source, "error": f"{type(error).__name__}: {error}"})
            continue
        cases = []
        for index, (_, messages, tools) in enumerate(CONVERSATIONS):
            for extra, word in EXTRAS:
                if word not in source.replace("enable_thinking", "" if word == "thinking" else "enable_thinking"):
                    continue
                for generate in (True, False):
                    variables = {
                        "messages": messages, "tools": tools, "documents": None, "add_generation_prompt": generate, **extra}
                    variables |= {key: value for key, value in (("bos_token", bos), ("eos_token", eos)) if value is not None}
                    case = {"conversation": index, "generate": generate, **render(template, variables)}
                    if extra:
                        case["extra"] = extra
                    cases.append(case)
        entry = {"name": path.stem, "bos": bos, "eos": eos, "cases": cases}
        if folder != FOLDER:
            entry["source"] = source
        templates.append(entry)
    return {
        "now": NOW,
        "conversations": [{"name": name, "messages": messages, "tools": tools} for name, messages, tools in CONVERSATIONS],
        "templates": templates,
    }


# ---- snippets --------------------------------------------------------------------------------------------------------

CONTEXT = {
    "i": 5, "j": -3, "zero": 0, "big": 4611686018427387904, "f": 2.5, "g": -0.5, "one": 1.0, "t": True, "no": False, "nil": None,
    "s": "Hello World", "e": "", "u": "naïve Ünï 日本 🌍", "ws": "  \t pad \n ", "tag": "<b>&\"'</b>", "csv": "a,b,,c", "lines": "one\ntwo\r\nthree\n",
    "l": [3, 1, 2], "strs": ["b", "A", "c", "a"], "mixed": [1, "x", None, True, 2.5], "empty": [], "nested": [[1, 2], [3, 4]],
    "d": {"a": 1, "b": {"c": [1, 2, {"x": "deep"}]}, "items": "shadow", "k-x": 2}, "ed": {},
    "people": [{"name": "Bob", "age": 30, "tags": ["x"]}, {"name": "alice", "age": 25, "tags": []}, {"name": "Carl", "age": 30, "city": {"zip": "1"}}],
    "schema": {"type": "object", "properties": {"items": {"type": "array"}, "get": 1}, "required": ["items"]},
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4
(1 + 2) * 3
2 ** 3 ** 2
-2 ** 2
2 ** -1
7 // 2
-7 // 2
7 // -2
7 % 3
-7 % 3
7 % -3
7 / 2
6 / 3
7.5 // 2
-7.5 % 2
1e3
1.5e-7
1e16
123456789012345678.0
0.1 + 0.2
100000.0 * 10
1_000 + 0x1F + 0b11 + 0o17
i + f
i * s
s * 2
'ab' * 0
'ab' * -1
[1, 2] * 2
[1] + [2]
(1,) + (2,)
s + 1
1 + s
s + nil
undefinedthing + 'a'
'a' + undefinedthing
i / 0
i // 0
i % 0
-i
+i
-f
-s
not t
not not s
t + t
t * 3
i ~ s ~ nil ~ t ~ f
1 ~ 2 + 3 ~ 4
1 + 2 ~ 3
undefinedthing ~ 'x'
1 == 1.0
1 == t
1 != 2
'a' < 'b'
'a' < 'B'
'Z' < 'a'
1 < 2 < 3
1 < 3 < 2
3 > 2 == 2
1 < 'a'
[1, 2] < [1, 3]
(1, 2) == (1, 2)
[1] == (1,)
[1, 2] == [1, 2]
{'a': 1} == {'a': 1.0}
nil == none
undefinedthing == undefinedother
undefinedthing == none
undefinedthing < 1
1 in l
9 in l
9 not in l
'ell' in s
'' in s
1 in s
'a' in d
'z' in d
'x' in undefinedthing
none in mixed
not 1 in l
not i == 5
i == 5 and f
i == 5 and e
e or l
e or empty or 'last'
nil or 0
t and not no
no or nil and t
1 if t else 2
1 if no else 2
1 if no
'a' if no else 'b' if t else 'c'
('a' if t else 'b') ~ 'c'
i if i > 3 and not no else j
l
strs
mixed
d
ed
empty
nested
(1, 2)
(1,)
()
1, 2
[1, 'a', none, true, [2.0], {'k': 'v'}]
{'a': 1, 'b': [1, 2]}
{1: 'x', none: 'y'}
{'quote': "it's", 'both': 'a\'b"c', 'nl': 'x\n\t\\'}
['\x00\x7f é 日 \u2028']
true
false
none
True
None
f
one
big
9223372036854775807
s[0]
s[-1]
s[99]
s[1:4]
s[:3]
s[-3:]
s[::2]
s[::-1]
s[8:2:-2]
s[5:2]
s[1:][0]
u[2:]
u[-1]
u[::-1]
u|length
l[0]
l[-1]
l[7]
l[-9]
l[1:]
l[:-1]
l[::-1]
l[5:]
l[t]
(1, 2, 3)[1:]
nested[1][0]
d.a
d['a']
d.b.c[2].x
d['b']['c'][0]
d.b.c.1
d.missing
d.missing.deeper
d['missing']
d['missing']['deeper']
d['k-x']
d['items']
schema.properties['items']
schema.properties['get']
d.get('a')
d.get('zz')
d.get('zz', 'dflt')
d.get('zz', none) is none
d.get()
d.keys()
d.values()|list
d.items()|list
d.keys()|list
d|items|list
ed.items()|list
s.upper()
s.lower()
s.title()
'hello wORLD x'.capitalize()
'ÄÖ ß'.lower()
'straße'.upper()
s.split()
s.split(' ')
'  a  b c '.split()
'  a  b c '.split(none, 1)
'a b c'.rsplit(' ', 1)
'  a b c '.rsplit(none, 1)
csv.split(',')
csv.split(',', 1)
csv.split(',')[-1]
csv.split(sep=',', maxsplit=2)
csv.rsplit(',', 2)
'aXXbXXXc'.split('XX')
'aXXbXXXc'.rsplit('XX')
'a'.split('')
''.split()
''.split(',')
lines.splitlines()
lines.splitlines(true)
ws.strip()
ws.lstrip()
ws.rstrip()
'xxaxx'.strip('x')
'xyaxy'.strip('yx')
'xxa'.lstrip('x')
'</think>abc'.split('</think>')[-1].lstrip('\n')
s.startswith('Hell')
s.endswith('d')
s.startswith(('X', 'H'))
s.endswith('')
s.startswith('')
s.replace('l', 'L')
s.replace('l', 'L', 1)
s.replace('', '-')
'aaa'.replace('aa', 'b')
s.find('o')
s.find('o', 5)
s.find('zz')
s.rfind('o')
u.find('日')
s.index('W')
s.index('zz')
s.count('o')
s.count('')
'a-b'.partition('-')
'a-b-c'.rpartition('-')
'ab'.partition('-')
', '.join(strs)
','.join(l)
''.join([])
'abc'.isdigit()
'123'.isdigit()
'abc'.isalpha()
'a1'.isalnum()
'ABC'.isupper()
'aBc'.islower()
' \n'.isspace()
'Hello World'.istitle()
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'7'.zfill(3)
'-7'.zfill(4)
'a'.center(6, '*')
'ab'.center(5)
'a'.ljust(3) ~ '|'
'a'.rjust(3)
'aBc'.swapcase()
'{} and {}'.format(1, 'x')
'{0}{1}{0}'.format('a', 'b')
'{x}'.format(x=3)
'{{}}'.format()
'{}'.format()
'%s-%d' % ('a', 5)
'%s' % s
'%5.2f|%-5s|%05d|%x' % (f, 'a', 42, 255)
'%r' % 'a'
'%%' % ()
'%s' % l
'%d' % 'x'
'%s %s' % 'x'
'%+d % d' % (1, 2)
'%.3s' % 'abcdef'
'%e' % 12345.678
'%g' % 0.0001
'%c' % 'x'
l|length
s|length
d|length
undefinedthing|length
nil|length
5|length
l|count
s|upper
s|lower
'heLLo wORLD'|capitalize
"hello wORLD-foo(bar) it's"|title
ws|trim
'xxaxx'|trim('x')
nil|trim
5|trim
l|first
l|last
s|first
s|last
empty|first
e|last
d|first
l|join
l|join(', ')
l|join(d='-')
people|join(', ', attribute='name')
d|join('/')
undefinedthing|join(',')
l|sort
strs|sort
strs|sort(case_sensitive=true)
strs|sort(reverse=true)
people|sort(attribute='name')|map(attribute='name')|list
people|sort(attribute='age,name')|map(attribute='name')|list
people|sort(attribute='age', reverse=true)|map(attribute='name')|list
mixed|sort
l|reverse|list
s|reverse
l|list
s|list
d|list
5|list
undefinedthing|list
strs|unique|list
strs|unique(true)|list
[1, 1.0, 2, true]|unique|list
l|min
l|max
strs|min
strs|max
empty|max
people|map(attribute='age')|max
people|max(attribute='age')
l|sum
people|sum(attribute='age')
people|sum('age', 10)
nested|sum(start=[])
strs|sum
people|map(attribute='name')|list
people|map(attribute='city.zip')|list
people|map(attribute='city', default='none')|list
people|map(attribute='missing', default=0)|list
strs|map('upper')|list
strs|map('upper')|join
csv.split(',')|map('default', 'X', true)|list
l|map('string')|join(',')
nested|map('join', '+')|list
nested|map('first')|list
l|select('odd')|list
l|reject('odd')|list
l|select('gt', 1)|list
l|select('>', 1)|list
l|select('in', [1, 9])|list
mixed|select|list
mixed|reject|list
mixed|select('string')|list
people|selectattr('age', 'equalto', 30)|map(attribute='name')|list
people|selectattr('age', '==', 30)|list|length
people|rejectattr('age', 'eq', 30)|map(attribute='name')|list
people|selectattr('city')|map(attribute='name')|list
people|selectattr('city', 'defined')|map(attribute='name')|list
people|selectattr('city.zip', 'undefined')|map(attribute='name')|list
people|selectattr('tags')|list|length
d|dictsort
{'b': 1, 'A': 2, 'c': 0}|dictsort
{'b': 1, 'A': 2, 'c': 0}|dictsort(true)
{'b': 1, 'A': 2, 'c': 0}|dictsort(by='value')
{'b': 1, 'A': 2, 'c': 0}|dictsort(false, 'value', true)
l|batch(2)|list
l|batch(2, 'x')|list
l|slice(2)|list
l|slice(2, 'x')|list
people|groupby('age')|map('first')|list
people|groupby('age')|map('last')|map('length')|list
undefinedthing|default('x')
nil|default('x')
nil|default('x', true)
e|default('x', true)
e|d('x', boolean=true)
d.missing|default(d.a)
undefinedthing|default
d.missing.deeper|default('x')
'5'|int
'5.7'|int
'abc'|int
'abc'|int(7)
'0x1F'|int(base=16)
'1_000'|int
' 42 '|int
5.9|int
-5.9|int
t|int
nil|int
nil|int(3)
undefinedthing|int
'1.5'|float
'1e3'|float
'abc'|float
'abc'|float(1.5)
5|float
'inf'|float
f|round
2.5|round
3.5|round
2.675|round(2)
1234.5678|round(2)
1234.5678|round(-2)
2.1|round(0, 'ceil')
2.9|round(0, 'floor')
-2.55|round(1, 'floor')
42|round
42|round(1)
-5|abs
-5.5|abs
s|abs
5|string
nil|string
l|string
undefinedthing|string
d|string
tag|e
tag|escape
s|safe
'a'|replace('a', 'b')
s|replace('l', 'L', 2)
5|replace('5', 'x')
'a\nb\n\nc'|indent
'a\nb\n\nc'|indent(2)
'a\nb\n\nc'|indent(2, true)
'a\nb\n\nc'|indent(2, blank=true)
'a\nb'|indent('> ')
'a\nb\n'|indent(first=true)
''|indent(first=true)
'a b c d e f'|wordcount
s|center(20) ~ '|'
'abc'|center(80)|length
('word ' * 100)|truncate(20)
('word ' * 100)|truncate(20, true)
('word ' * 100)|truncate(20, false, '~')
'short'|truncate(20)
'%s %s'|format('a', 2)
'%(x)s'|format(x=1)
d|attr('a')
l|tojson
d|tojson
people|tojson
mixed|tojson
s|tojson
u|tojson
u|tojson(ensure_ascii=true)
tag|tojson
'\x00\x1f\x7f\u2028\\/"'|tojson
f|tojson
1e20|tojson
1.0|tojson
1e-7|tojson
nil|tojson
t|tojson
(1, 2)|tojson
d|tojson(indent=2)
d|tojson(indent=4, sort_keys=true)
d|tojson(separators=(',', ':'))
d|tojson(separators=(',', ':'), indent=1)
d|tojson(indent='--')
d|tojson(indent=0)
[]|tojson(indent=2)
{}|tojson(indent=2)
[[], {}]|tojson(indent=2)
{'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true)
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
undefinedthing|tojson
d.items()|tojson
range(3)|tojson
s is string
5 is string
5 is number
5.5 is number
t is number
t is integer
5 is integer
5.0 is integer
5.0 is float
t is boolean
1 is boolean
nil is none
nil is not none
undefinedthing is none
undefinedthing is defined
undefinedthing is not defined
not undefinedthing is defined
d.missing is defined
d.a is defined
undefinedthing is undefined
d is mapping
l is mapping
l is iterable
s is iterable
5 is iterable
d is iterable
undefinedthing is iterable
l is sequence
s is sequence
d is sequence
5 is sequence
range(3) is sequence
l|map('string') is sequence
l|map('string') is iterable
t is true
1 is true
no is false
0 is false
i is odd
i is even
i is divisibleby 5
i is divisibleby(2)
i is not divisibleby 2
i is eq 5
i is equalto(5)
i is ne 5
i is gt 4
i is lessthan 6
i is ge 5
i is in l
i is in [5]
3 is in(l)
i is sameas 5
nil is sameas none
s is lower
'abc' is lower
'ABC' is upper
range is callable
s is callable
s.upper is callable
'upper' is filter
'nope' is filter
'odd' is test
i is defined and i > 3
i is odd or no
i is defined == true
(i is odd) == true
not i is odd
i is odd if t else 'x'
range(3)
range(3)|list
range(1, 10, 3)|list
range(5, 0, -2)|list
range(0)|list
range(3)[1]
range(5)[1:3]
range(5)[::2]|list
range(5)|length
range(2, 8)
range(1, 10, 2)
range('a')
range()
dict(a=1, b=2)
dict(d, z=9)|length
dict([('a', 1)])
namespace(a=1).a
namespace(a=1).b
namespace({'x': 2}).x
raise_exception('boom')
joiner()() ~ 'x'
'a' 'b'
"it's" ~ 'say "hi"'
'tab\tnl\nuni\u00e9\x41\101 \q \\'
'line\
continued'
s.__class__
s.__class__.__mro__
l.__len__()
d.__class__
s.format.__globals__
''.join.__self__
nil.foo
nil.foo.bar
5.foo
l.foo
s.foo
s['foo']
nil[0]
5[0]
nil[1:]
d[1:]
l['a']
d[l]
undefinedthing.x
undefinedthing[0]
undefinedthing()
undefinedthing()()
s()
d.a()
l(1)
nil|upper
undefinedthing|upper
5|upper
l|upper
s|trim|upper|length
s|upper == 'HELLO WORLD'
(s|length) > 3
s|length > 3
-i|abs
(-i)|abs
i|string ~ '!'
'a' in ['a', 'b'] and 'c' not in 'xyz'
{'a': 1}['a']
{'a': {'b': 2}}.a.b
[1, 2, 3][1]
(1, 2, 3)[-1]
'abc'[1]
[x for x in l]
lambda: 1
l[
{{ 1
1 +
* 2
a b
'unterminated
(1, 2
[1, 2
{'a' 1}
{'a':}
1 === 2
1 => 2
s|
s|nosuchfilter
s is nosuchtest
s is
a.b.
a..b
!x
x = 1
$x
@x
f"x"
1 if
1 if t else
is odd
not
and 1
""".strip("\n").split("\n")
EXPRESSIONS = [expression for expression in "\n".join(EXPRESSIONS).replace("'line\\\ncontinued'", "'line\\\0continued'").split("\n")]
EXPRESSIONS = [expression.replace("\0", "\n") for expression in EXPRESSIONS]

STATEMENTS = [
    "{% for x in l %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ loop.index }}/{{ loop.length }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }}\n{% endfor %}",
    "{% for x in empty %}x{% else %}none{% endfor %}",
    "{% for x in l %}x{% else %}none{% endfor %}",
    "{% for x in l if x > 1 %}{{ x }}{{ loop.length }}{% else %}none{% endfor %}",
    "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }},{% endfor %}",
    "{% for c in u %}[{{ c }}]{% endfor %}",
    "{% for x in undefinedthing %}x{% else %}none{% endfor %}",
    "{% for x in nil %}x{% endfor %}",
    "{% for x in 5 %}x{% endfor %}",
    "{% for a, b in nested %}{{ a }}-{{ b }};{% endfor %}",
    "{% for a, b in l %}{{ a }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for (a, b) in nested %}{{ a + b }}{% endfor %}",
    "{% for a in 1, 2, 3 %}{{ a }}{% endfor %}",
    "{% for a in (1, 2, 3) %}{{ a }}{% endfor %}",
    "{% for x in l %}{% for y in strs %}{{ x }}{{ y }}{{ loop.index }} {% endfor %}{{ loop.index }}\n{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in l %}{% if loop.previtem is defined %}p{% endif %}{% if loop.nextitem is not defined %}n{% endif %}{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{% if loop.changed(x) %}{{ x }}{% endif %}{% endfor %}",
    "{% for x in range(10) %}{% if x == 3 %}{% continue %}{% endif %}{% if x == 6 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% break %}{% else %}else{% endfor %}",
    "{% for x in l %}{% continue %}{% else %}else{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{% else %}else{% endfor %}",
    "{{ '%s' % [1, 2] }}{{ 'x' % [1] }}{{ 'x' % d }}",
    "{{ 'x' % 'a' }}",
    "{{ d.items() is iterable }}{{ schema.properties.items is callable }}{{ s|attr('upper') is callable }}",
    "{% for x in l %}{% for y in l %}{% break %}{% endfor %}{{ x }}{% endfor %}",
    "{% for x in nested recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}.{{ loop.depth }}{% endif %}{% endfor %}",
    "{% set x = 1 %}{% for y in l %}{{ x }}{% set x = y %}{{ x }} {% endfor %}{{ x }}",
    "{% set ns = namespace(n=0) %}{% for y in l %}{% set ns.n = ns.n + y %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b }}{{ ns.b is defined }}",
    "{% set d.x = 1 %}{{ d }}",
    "{% set undefinedthing.x = 1 %}",
    "{% set ns = namespace(_x=1) %}{{ ns._x }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}x",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = nested[0] %}{{ a }}{{ b }}",
    "{% set a, b = 1 %}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set a = 'x' if t else 'y' %}{{ a }}",
    "{% set a %}block {{ i }}{% endset %}[{{ a }}]",
    "{% set a | upper %}block {{ i }}{% endset %}[{{ a }}]",
    "{% set a | replace('b', 'x') | trim %}  block {% endset %}[{{ a }}]",
    "{% set ns = namespace() %}{% set ns.t %}in {{ i }}{% endset %}{{ ns.t }}",
    "{% if t %}{% set y = 1 %}{% endif %}{{ y }}",
    "{% if no %}{% set y = 1 %}{% endif %}{{ y }}|{{ y is defined }}",
    "{% set i = i + 1 %}{{ i }}",
    "{% if no %}{% set i = 9 %}{% endif %}{{ i }}",
    "{% for x in [1] %}{% set i = 9 %}{{ i }}{% endfor %}{{ i }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
    "{% with i = 9 %}{{ i }}{% endwith %}{{ i }}",
    "{% if i > 3 %}a{% elif i > 1 %}b{% else %}c{% endif %}",
    "{% if i > 9 %}a{% elif i > 1 %}b{% else %}c{% endif %}",
    "{% if i > 9 %}a{% elif i > 7 %}b{% elif i > 6 %}b2{% else %}c{% endif %}",
    "{% if undefinedthing %}a{% else %}b{% endif %}",
    "{% if empty %}a{% elif ed %}b{% elif e %}c{% elif zero %}d{% else %}e{% endif %}",
    "{% if not t %}a{% else %}b{% endif %}",
    "{% if a.b is defined %}x{% endif %}",
    "{% if l|length > 2 and 'a' in strs %}x{% endif %}",
    "{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(1, c=4) }}|{{ m(a=5) }}|{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, z=2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(a, b) %}{{ a is defined }}{{ b is defined }}{% endmacro %}{{ m(1) }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m() %}{{ i }}{{ later }}{% endmacro %}{% set later = 7 %}{{ m() }}",
    "{% set before = 7 %}{% macro m() %}{{ before }}{% set before = 8 %}{{ before }}{% endmacro %}{{ m() }}{{ before }}",
    "{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1)|int) }}{% endif %}{% endmacro %}{{ fact(6) }}",
    "{% macro m(x) %} {{ x }} {% endmacro %}[{{ m('a')|trim }}]",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m('a') ~ m('b') }}{{ m('a') + 'c' }}{{ m('abc')|length }}",
    "{% macro m(x) %}{{ caller() }}{{ x }}{% endmacro %}{% call m(1) %}body{{ i }}{% endcall %}",
    "{% macro m() %}{% for q in l %}{{ caller(q) }}{% endfor %}{% endmacro %}{% call(z) m() %}<{{ z }}>{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% macro m(a, b=1) %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}",
    "{% macro outer() %}{% macro inner() %}in{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}",
    "{% macro m(items) %}{% for x in items %}{{ x }}{% endfor %}{% endmacro %}{{ m(l) }}",
    "{% macro m(*args) %}{% endmacro %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% filter upper %}abc {{ s }}{% endfilter %}",
    "{% filter replace('a', 'b')|upper %}aaa{% endfilter %}",
    "{% print 1 %}{% print s, i %}",
    "{% raw %}{{ x }}{% y %}{# z #}{% endraw %}",
    "{% raw -%}  {{ x }}  {%- endraw %} a",
    "a {%- raw %}  {{ x }}  {% endraw -%} b",
    "{% raw %}\n x\n{% endraw %}\ny",
    "{% raw %}unclosed",
    "{# comment #}a{# multi\nline #}b",
    "{# unclosed",
    "a{#- c -#} b",
    "a {# c #}\n b",
    "a\n  {# c #}\n b",
    "a\n  {# c +#}\n b",
    "a\n  {#+ c #}\n b",
    "{% generation %}gen {{ i }}{% endgeneration %}",
    "{% for m in l %}{% generation %}{% set q = m %}{{ q }}{% endgeneration %}{{ q }}{% endfor %}",
    "{% set x = 'a' %}{% set x = x + 'b' %}{% set x = x ~ 'c' %}{{ x }}",
    "{{ 'a' }}{{ 'b' -}} {{- 'c' }}",
    "{{- 'x' -}}",
    "  {{- 'x' -}}  ",
    "  {{ 'x' }}  ",
    "\n{{ 'x' }}\n",
    "\n\n{{ 'x' }}\n\n",
    "line1\r\nline2\rline3\n{% if t %}\r\nx{% endif %}\r\n",
    "{{ 1 }}\n",
    "{{ 1 }}\n\n",
    "\n",
    "",
    "   ",
    "just text",
    "{ { x } } {x} }} %} #}",
    "{{ '{{' }}{{ '}}' }}{{ '%}' }}",
    "{{ {'a': {'b': 1}}['a'] }}",
    "{{ {} }}{{ {'a': {}} }}",
    "{% set q = {'a': [1, {'b': 2}]} %}{{ q.a[1].b }}",
    "{%- if t -%} x {%- endif -%} y",
    "{%if t%}x{%endif%}",
    "{% if t %}x{% endif",
    "{% if t %}x",
    "{% endif %}",
    "{% for x in l %}x{% endif %}",
    "{% else %}",
    "{% break %}",
    "{% if t %}{% break %}{% endif %}",
    "{% unknown %}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% do l %}",
    "{% set %}",
    "{% set 1 = 2 %}",
    "{% set true = 2 %}",
    "{% for in l %}{% endfor %}",
    "{% for x l %}{% endfor %}",
    "{% if %}{% endif %}",
    "{{ }}",
    "{% %}",
    "{{ s",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}",
    "{% set j = joiner('|') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}",
    "{% set x = l|list %}{{ x }}",
    "{{ l|map('upper')|list|string ~ s[0:2]|lower }}",
    "{% set content = '<think>a</think>b' %}{{ content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}|{{ content.split('</think>')[-1].lstrip('\\n') }}",
    "{% for message in people[::-1] %}{% set index = (people|length - 1) - loop.index0 %}{{ index }}{{ message.name }}{% endfor %}",
    "{% for p in people %}{{ p.name }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for p in people|selectattr('age', 'gt', 26) %}{{ loop.index }}{{ p.name }}{% endfor %}",
    "{% for age, group in people|groupby('age') %}{{ age }}:{% for p in group %}{{ p.name }} {% endfor %};{% endfor %}",
    "{% for key, value in {'b': 1, 'a': 2}|dictsort %}{{ key }}{{ value }}{% endfor %}",
    "{% set loop_messages = messages %}{{ loop_messages|length }}",
    "{{ tools is none }}{{ tools is defined }}{{ documents is none }}{{ add_generation_prompt }}{{ bos_token is defined }}",
    "{% set x = namespace(l=[1]) %}{{ x.l }}{{ x.l[0] }}",
    "{% for x in l %}{{ x }}{{ ',' if not loop.last }}{% endfor %}",
    "{{ ('a', 'b')|join('-') }}{{ (i, j)|sum }}",
    "{%- macro render(x, depth=0) -%}{%- if x is mapping -%}{ {%- for k, v in x|dictsort -%}{{ k }}: {{ render(v, depth + 1) }}{{ ', ' if not loop.last else '' }}{%- endfor -%} }{%- elif x is iterable and x is not string -%}[{%- for y in x -%}{{ render(y, depth + 1) }}{{ ',' if not loop.last else '' }}{%- endfor -%}]{%- else -%}{{ x }}{%- endif -%}{%- endmacro -%}{{ render({'b': 1, 'a': [1, {'z': none}]}) }}",
]


def white_space(count):
    """Templates that differ in blanks, newlines and signs around their tags."""
    blanks = ["", " ", "\n", " \n", "\n  ", " \n \n\t", "x", "x\n", "\nx", "x \n  "]
    signs = ["", "-", "+"]
    ends = ["", "-", "+"]
    bodies = [
        ("{%{a} if t {b}%}", "{%{c} endif {d}%}"),
        ("{%{a} for q in [1, 2] {b}%}", "{%{c} endfor {d}%}"),
        ("{#{a} c {b}#}", "{#{c}{d}#}"),
        ("{{{a} i {b}}}", "{%{c} set z = 1 {d}%}"),
        ("{%{a} raw {b}%}", "{%{c} endraw {d}%}"),
        ("{%{a} macro m() {b}%}", "{%{c} endmacro {d}%}{{ m() }}"),
    ]
    source = random.Random(20260101)
    made = set()
    while len(made) < count:
        opening, closing = source.choice(bodies)
        for key in "abcd":
            sign = source.choice(signs if key in "ac" else ends)
            opening = opening.replace("{" + key + "}", sign)
            closing = closing.replace("{" + key + "}", sign)
        text = "".join([source.choice(blanks), opening, source.choice(blanks), closing, source.choice(blanks)])
        made.add(text)
    return sorted(made)


def random_expressions(count):
    """Operators in random order over small values, so that precedence and types are compared."""
    source = random.Random(20260102)
    atoms = ["1", "2", "3.5", "0", "'a'", "'bc'", "true", "none", "[1, 2]", "(1,)", "i", "j", "f", "s", "l", "d.a", "x.y", "nope", "e", "u[0]", "range(3)"]
    operators = [" + ", " - ", " * ", " / ", " // ", " % ", " ~ ", " == ", " != ", " < ", " >= ", " and ", " or ", " in ", " not in ", " ** "]
    suffixes = ["", "", "", "", "|string", "|length", "|int", "|list", " is defined", " is string", "[0]", "|default('q')", "|upper", " is number", "|tojson"]

    def expression(depth):
        roll = source.random()
        if depth == 0 or roll < 0.2:
            return source.choice(atoms) + source.choice(suffixes)
        if roll < 0.3:
            return "not " + expression(depth - 1)
        if roll < 0.35:
            return "-" + expression(depth - 1)
        if roll < 0.45:
            return f"({expression(depth - 1)}){source.choice(suffixes)}"
        if roll < 0.52:
            return f"({expression(depth - 1)} if {expression(depth - 1)} else {expression(depth - 1)})"
        return expression(depth - 1) + source.choice(operators) + expression(depth - 1)

    made = []
    while len(made) < count:
        text = expression(3)
        # Numbers beyond 64 bits are out of the subset's range, and repr of a function differs.
        if "**" in text and text.count("**") > 1:
            continue
        made.append(text)
    return made


def snippets():
    variables = {**CONTEXT, "messages": [], "tools": None, "documents": None, "add_generation_prompt": True}
    texts = ["{{ " + expression + " }}" for expression in EXPRESSIONS]
    texts += ["{{ " + expression + " }}" for expression in random_expressions(1500)]
    texts += STATEMENTS + white_space(1200)
    cases = []
    for text in dict.fromkeys(texts):
        try:
            template = compiled(text)
        except Exception as error:  # noqa: BLE001
            cases.append({"source": text, "error": f"{type(error).__name__}: {error}"[:200], "compile": True})
            continue
        cases.append({"source": text, **render(template, variables)})
    return {"context": CONTEXT, "cases": cases}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=Path, help="another folder of *.jinja files")
    parser.add_argument("--output", type=Path, help="where the renderings of that folder go")
    arguments = parser.parse_args()
    if arguments.templates:
        arguments.output.write_text(json.dumps(rendered(arguments.templates), ensure_ascii=False))
        return
    for name, content in (("rendered.json", rendered(FOLDER)), ("snippets.json", snippets())):
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        (FOLDER / name).write_text(text.replace('{"conversation"', '\n{"conversation"').replace('{"source"', '\n{"source"') + "\n")


if __name__ == "__main__":
    main()
