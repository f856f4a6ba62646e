"""A server that speaks walet's interface with answers that are known, and sends the real page with the real headers.

The page's files and headers are read from Sources/CWaletServerFiles/Web, so that what is tested is what is built.
The model's name picks the answer; see `ANSWERS`.
"""

import argparse
import bisect
import functools
import hashlib
import json
import math
import random
import re
import select
import socket
import threading
import time
from datetime import date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "Sources"
WEB = SOURCES / "CWaletServerFiles" / "Web"
KEY = "sk-mock-key"
OPERATOR_KEY = "sk-mock-operator"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


def page_headers():
    """The headers that WebPage.swift sends, read from its source."""
    source = (SOURCES / "WaletServer" / "Web" / "WebPage.swift").read_text()
    policy = re.search(r"contentSecurityPolicy = \[(.*?)\]\.joined", source, re.S).group(1)
    headers = {"Content-Security-Policy": "; ".join(re.findall(r'"([^"]+)"', policy))}
    table = re.search(r"static let headers: .*? = \[(.*?)\n    \]", source, re.S).group(1)
    headers.update(re.findall(r'\("([^"]+)", "([^"]+)"\)', table))
    return headers


HEADERS = page_headers()

FENCE = "```"
CODE_ANSWER = f"""Merging walks both arrays at once and always takes the smaller head, so it is **linear** in their lengths.

{FENCE}swift
/// Merges two sorted arrays into one.
func merge<Element: Comparable>(_ a: [Element], _ b: [Element]) -> [Element] {{
    var result: [Element] = []
    result.reserveCapacity(a.count + b.count)
    var (i, j) = (0, 0)
    while i < a.count && j < b.count {{
        if a[i] <= b[j] {{ result.append(a[i]); i += 1 }}
        else {{ result.append(b[j]); j += 1 }}
    }}
    return result + a[i...] + b[j...]
}}
{FENCE}

| Case | Input | Result |
|:-----|:------|-------:|
| Both empty | `[]`, `[]` | `[]` |
| Equal heads | `[1]`, `[1]` | `[1, 1]` |

It is stable: of equal elements, those of `a` come first.
"""

KITCHEN_SINK = f"""# Heading one
## Heading two

A paragraph with *emphasis*, **strong**, ***both***, ~~struck~~, `code with <b>` and a [link](https://example.org/a_b?c=1&d=2 "Title").
A second line. Snake_case_words stay, and 2 * 3 * 4 too. Escaped \\*stars\\*, entity &amp; &#169; &lt;i&gt;.

1. one
2. two
   - nested a
   - nested b

     second paragraph
3. three

- [x] done
- [ ] to do

> A quote
> with **strong**
>
> > nested

| Left | Right | Middle |
|:---|---:|:-:|
| a | 1 | `x \\| y` |
| b | 22 | **c** |

---

{FENCE}python
def f(x: int) -> str:  # comment
    return "a" * x
{FENCE}

Formulas $a_1 * b_1 * c$ and \\(x_i * y_i * z\\) and $$\\sum_{{i=1}}^n i$$ stay; prices of $5 and $10 too.
Auto https://example.com/path_(with)_parens). End
"""

ATTACKS = r"""<script>window.hacked = 1</script>
<img src=x onerror="window.hacked = 2">
<svg onload="window.hacked = 3"><circle r=9></svg>
<iframe src="https://evil.example/"></iframe>
<a href="javascript:window.hacked=4">html link</a>

[plain](javascript:window.hacked=5) [mixed](JaVaScRiPt:window.hacked=6) [tab](java	script:window.hacked=7)
[data](data:text/html,<script>window.hacked=8</script>) [vb](vbscript:x) [file](file:///etc/passwd) [relative](/v1/models) [anchor](#prompt)
[entity](&#106;avascript:window.hacked=9) [user](https://user:password@evil.example/) [protocol](//evil.example/x)
[newline](java
script:window.hacked=10) <javascript:window.hacked=11> <https://ok.example/"onmouseover="window.hacked=12">
![picture](https://evil.example/track.png) ![x](data:image/svg+xml,<svg/onload=window.hacked=13>) ![q](x" onerror="window.hacked=14)
[title](https://ok.example/ "x\" onmouseover=\"window.hacked=15") **<b onclick="window.hacked=16">bold</b>**

&lt;script&gt;window.hacked=17&lt;/script&gt; &#60;img src=x onerror=window.hacked=18&#62; &#x3c;svg onload=window.hacked=19&#x3e;

| <img src=x onerror=window.hacked=20> | <script>window.hacked=21</script> |
|---|---|
| <svg/onload=window.hacked=22> | [c](javascript:window.hacked=23) |

> <script>window.hacked=24</script>
> - <img src=x onerror=window.hacked=25>
>   > # <svg onload=window.hacked=26>

```html"><script>window.hacked=27</script>
</code></pre><script>window.hacked=28</script>
```

`</code><script>window.hacked=29</script>`

[a [nested](https://inner.example/) b](https://outer.example/) [*x](https://ok.example/)* [](https://empty.example/)
<style>body{display:none}</style><link rel=stylesheet href=https://evil.example/x.css><base href=https://evil.example/>
<form action=https://evil.example/><input name=key><button>send</button></form><meta http-equiv=refresh content=0;url=https://evil.example/>
"""


def lorem(size):
    """Markdown of about `size` characters: paragraphs, lists, tables, code, very long lines."""
    parts, total, index = [], 0, 0
    while total < size:
        index += 1
        kind = index % 6
        if kind == 0:
            text = "```python\n" + "\n".join(f"value_{n} = compute({n}, 'text {n}')  # line {n}" for n in range(120)) + "\n```"
        elif kind == 1:
            text = "\n".join(f"- item {n} of **list {index}** with `code` and https://example.org/{n}" for n in range(60))
        elif kind == 2:
            text = "| n | square | note |\n|---:|---:|---|\n" + "\n".join(f"| {n} | {n * n} | *row* {n} |" for n in range(80))
        elif kind == 3:
            text = "word " * 4000
        else:
            text = "\n\n".join(f"Paragraph {n} of part {index}: the *quick* brown fox, **again**, and `again`." for n in range(40))
        parts.append(text)
        total += len(text) + 2
    return "\n\n".join(parts)


SLOW_TEXTS = {
    "stars": "*a **a " * 150_000,
    "brackets": "[" * 300_000 + "](https://a.example/)" * 30_000,
    "backticks": " ".join("`" * (1 + n % 97) for n in range(20_000)),
    "quotes": ">" * 500_000 + " deep",
    "lists": "".join("  " * n + "- x\n" for n in range(1000)),
    "dollars": "$a $" * 250_000,
    "angles": "<https://" * 100_000,
    "row": "|" + "a|" * 500_000,
    "rows": "| a | b |\n|---|---|\n" + "| x | y |\n" * 100_000,
    "one word": "x" * 1_000_000,
    "one line of code": "```\n" + "x" * 1_000_000,
    "underscores": "_" * 500_000 + "a" + "_" * 500_000,
    "emphasis": "**a *b " * 70_000 + "c* d**" * 70_000,
    "escapes": "\\(" * 500_000,
    "addresses": "https://a.example/" + ")" * 900_000,
    "links": "[a](b" * 200_000,
    "spaces": "#" + " " * 1_000_000 + "#",
    "line ends": "\n" * 1_000_000,
    "pieces": "> - 1. # **[`x\n" * 60_000,
}


def thinking_chunks(text, thinking, size=6):
    for index in range(0, len(thinking), size):
        yield {"reasoning_content": thinking[index : index + size]}
    for index in range(0, len(text), size):
        yield {"content": text[index : index + size]}


class State:
    """What the tests look at."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = []  # bodies of chat requests
        self.authorizations = []  # headers of all interface requests
        self.closed = []  # models whose client left before the end
        self.finished = []  # models whose answer was sent whole
        self.running = 0
        self.fail_next = None  # (status, headers, body) for the next chat request
        self.needs_key = False
        self.started = time.time()
        self.skew = 0  # seconds that the figures are ahead of the clock
        self.tokens = 0
        self.prompts = 0

    def reset(self):
        self.__init__()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "walet-mock"

    def log_message(self, *arguments):
        pass

    @property
    def state(self):
        return self.server.state

    # --- Plumbing

    def send(self, status, body, content_type="application/json", headers=None):
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def chunk(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def has_left(self):
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def pause(self, seconds):
        """Waits, and raises when the client leaves."""
        end = time.monotonic() + seconds
        while True:
            if self.has_left():
                raise BrokenPipeError
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.02))

    def allowed(self, key):
        given = self.headers.get("Authorization", "")
        with self.state.lock:
            self.state.authorizations.append((self.path, given))
        return given == f"Bearer {key}"

    def refuse(self, status, message, code=None, headers=None, kind="invalid_request_error"):
        self.send(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, headers=headers)

    # --- Routes

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        if path in ("/", "/operator") or path.startswith("/web/"):
            return self.page({"/": "index.html", "/operator": "operator.html"}.get(path, path.removeprefix("/web/")))
        if path == "/v1/models":
            if not self.allowed(KEY) and self.state.needs_key:
                return self.refuse(401, "There is no such key.", "invalid_api_key", kind="authentication_error")
            pricing = {"pricing": {"input": 0.56, "cached_input": "0.14", "output": 2.24, "currency": "USD"}, "context_length": 131072}
            return self.send(200, {"object": "list", "data": [
                {"id": name, "object": "model", "created": 1, "owned_by": "walet", **({} if name == "no-prices" else {"walet": pricing})}
                for name in ANSWERS]})
        if path == "/metrics":
            if not self.allowed(OPERATOR_KEY):
                return self.refuse(401, "This path needs an operator's key.", "invalid_api_key")
            return self.send(200, metrics_page(self.state), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/admin/usage":
            if not self.allowed(OPERATOR_KEY):
                return self.refuse(401, "This path needs an operator's key.", "invalid_api_key")
            return self.send(200, usage_page())
        return self.refuse(404, "There is no such path.")

    def page(self, name):
        file = WEB / name
        if "/" in name or file.suffix not in TYPES or not file.is_file():
            return self.refuse(404, "There is no such path.")
        content = file.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
        if tag in self.headers.get("If-None-Match", ""):
            self.send_response(304)
            for name, value in {**HEADERS, "ETag": tag}.items():
                self.send_header(name, value)
            return self.end_headers()
        self.send(200, content, TYPES[file.suffix], {**HEADERS, "ETag": tag})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/v1/chat/completions":
            return self.refuse(404, "There is no such path.")
        request = json.loads(body)
        with self.state.lock:
            self.state.requests.append(request)
            failure, self.state.fail_next = self.state.fail_next, None
        if not self.allowed(KEY) and self.state.needs_key:
            return self.refuse(401, "There is no such key.", "invalid_api_key", kind="authentication_error")
        if failure:
            status, headers, answer = failure
            return self.send(status, answer, "application/json" if isinstance(answer, dict) else "text/html", headers)
        answer = ANSWERS.get(request.get("model"))
        if answer is None:
            return self.refuse(404, f"There is no model {request.get('model')}.", "model_not_found")
        self.stream(request, answer)

    def stream(self, request, answer):
        model = request["model"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with self.state.lock:
            self.state.running += 1
        try:
            answer(self, request)
            self.chunk("")
            with self.state.lock:
                self.state.finished.append(model)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            with self.state.lock:
                self.state.closed.append(model)
        except ConnectionAbortedError:
            self.close_connection = True
        finally:
            with self.state.lock:
                self.state.running -= 1

    # --- Events

    def event(self, request, delta, finish=None, usage=None):
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request["model"], "usage": usage,
                "choices": [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    def deltas(self, request, deltas, delay=0.0, finish="stop", usage=(120, 64, 40, 12)):
        self.chunk(self.event(request, {"role": "assistant", "content": ""}))
        tokens = 0
        for delta in deltas:
            self.pause(delay)
            self.chunk(self.event(request, delta))
            tokens += 1
            with self.state.lock:
                self.state.tokens += 1
        self.end(request, finish, usage)

    def end(self, request, finish="stop", usage=(120, 64, 40, 12)):
        self.chunk(self.event(request, {}, finish))
        prompt, cached, output, thinking = usage
        self.chunk(self.event(request, None, usage={
            "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": thinking}}))
        self.chunk("data: [DONE]\n\n")


# --- Answers by the model's name


def last_text(request):
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else json.dumps(content)


def echo(handler, request):
    text = f"You said: {last_text(request)}"
    handler.deltas(request, thinking_chunks(text, "", 4), 0.005, usage=(20, 0, 8, 0))


def thinks(handler, request):
    thinking = "The user wants a function. Two sorted arrays can be merged in one pass. " * 3
    handler.deltas(request, thinking_chunks(CODE_ANSWER, thinking, 7), 0.008, usage=(1204, 1152, 412, 58))


def slow(handler, request):
    handler.deltas(request, ({"content": f"word{n} "} for n in range(10_000)), 0.05)


def slow_thinking(handler, request):
    handler.deltas(request, ({"reasoning_content": f"thought{n} "} for n in range(10_000)), 0.05)


def waits(handler, request):
    handler.pause(60)


def kitchen_sink(handler, request):
    handler.deltas(request, thinking_chunks(KITCHEN_SINK, "", 5))


def attacks(handler, request):
    handler.deltas(request, thinking_chunks(ATTACKS, "<img src=x onerror='window.hacked=90'>", 3))


def big(handler, request):
    text = lorem(1_000_000)
    handler.deltas(request, thinking_chunks(text, "", 400), 0.001, usage=(10, 0, 250_000, 0))


def slow_text(handler, request):
    text = SLOW_TEXTS[last_text(request)]
    handler.deltas(request, thinking_chunks(text, "", max(200, len(text) // 400)), usage=(10, 0, 250_000, 0))


def verbatim(handler, request):
    """Sends what it is given, character by character."""
    handler.deltas(request, thinking_chunks(last_text(request), "", 1))


def tool_calls(handler, request):
    if request["messages"][-1]["role"] == "tool":
        results = [message["content"] for message in request["messages"] if message["role"] == "tool"]
        return handler.deltas(request, thinking_chunks(f"It says: {', '.join(results)}.", ""))

    def calls():
        yield {"reasoning_content": "I need the weather."}
        for index, city in enumerate(["Jakarta", "Berlin <b>"]):
            arguments = json.dumps({"city": city, "days": 3})
            yield {"tool_calls": [{"index": index, "id": f"functions.get_weather:{index}", "type": "function",
                                   "function": {"name": "get_weather", "arguments": ""}}]}
            for place in range(0, len(arguments), 5):
                yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[place : place + 5]}}]}

    handler.deltas(request, calls(), 0.005, finish="tool_calls")


def at_limit(handler, request):
    handler.deltas(request, thinking_chunks("This answer has no", ""), finish="length")


def empty(handler, request):
    handler.deltas(request, [], usage=(5, 0, 0, 0))


def breaks(handler, request):
    for word in ["A ", "good ", "beginning"]:
        handler.chunk(handler.event(request, {"content": word}))
    time.sleep(0.1)
    handler.connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


def ends_early(handler, request):
    handler.chunk(handler.event(request, {"content": "Half of"}))


def error_in_stream(handler, request):
    handler.chunk(handler.event(request, {"content": "So far"}))
    handler.chunk('data: {"error": {"message": "The engine stopped.", "type": "server_error", "code": null}}\n\n')
    handler.chunk("data: [DONE]\n\n")


def odd_stream(handler, request):
    """What the standard of server-sent events allows, in pieces that cut everywhere."""
    text = ": keep-alive\r\n\r\nevent: message\r\nid: 1\r\nretry: 10\r\n" + handler.event(request, {"content": "Grüße 🐦 "}).replace("\n", "\r\n")
    text += "data:" + handler.event(request, {"content": "und Ende"}).removeprefix("data: ").replace("\n", "\r")
    data = text.encode()
    for index in range(0, len(data), 3):
        handler.chunk(data[index : index + 3])
        if index % 60 == 0:
            time.sleep(0.002)
    handler.end(request)


def demo(handler, request):
    """For the screenshot."""
    thinking = ("The user wants to merge two sorted arrays in Swift, with tests for the edge cases.\n\n"
                "A single pass with two indices is enough: O(n + m) time, one allocation if capacity is reserved. "
                "Equal elements should come from the first array, so that the merge is stable.")
    handler.deltas(request, thinking_chunks(CODE_ANSWER, thinking, 5), 0.012, usage=(1204, 1152, 412, 58))


ANSWERS = {
    "kimi-k2-thinking": demo, "echo": echo, "walet-nano": echo, "thinks": thinks, "slow": slow, "slow-thinking": slow_thinking, "waits": waits,
    "kitchen-sink": kitchen_sink, "attacks": attacks, "big": big, "slow-text": slow_text, "verbatim": verbatim, "tool-calls": tool_calls,
    "at-limit": at_limit, "empty": empty, "breaks": breaks, "ends-early": ends_early, "error-in-stream": error_in_stream,
    "odd-stream": odd_stream, "no-prices": echo,
}


# --- The operator's figures


BOUNDS = [0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10]


@functools.cache
def observation(index):
    """How long the request of a number took, in units of the usual: always the same, spread, with a slow swing and a few far out."""
    generator = random.Random(index)
    return math.exp(generator.gauss(0, 0.45)) * (1 + 0.35 * math.sin(index / 260)) * (6 if index % 55 == 0 else 1)


def metrics_page(state):
    """Figures of a server with a load that swings slowly, the same at the same age."""
    age = time.time() - state.started + 600 + state.skew
    load = lambda offset: 0.5 + 0.3 * math.sin(age / 37 + offset) + 0.12 * math.sin(age / 11 + 2 * offset)
    pieces = 900 * age - 8000 * math.cos(age / 37) - 900 * math.cos(age / 11)
    firsts = 4 * age
    prompt = 5200 * age - 16000 * math.cos(age / 53)
    hits = {"memory": 3100 * age - 12000 * math.cos(age / 53), "disk": 640 * age}
    model = 'model="kimi-k2-thinking"'
    lines = [
        "# HELP walet_build_info What runs; always 1.", "# TYPE walet_build_info gauge",
        'walet_build_info{version="0.5.0",instruction_set="avx512"} 1',
        f"process_start_time_seconds {state.started - 600}", "process_resident_memory_bytes 61400000000",
        f"walet_num_requests_running{{{model}}} {round(16 * load(0))}",
        f"walet_num_requests_waiting{{{model}}} {max(0, round(9 * load(1) - 4))}",
        f'walet_num_requests_running{{model="small \\"quoted\\" \\\\ name"}} 0',
        f"walet_kv_cache_usage_perc{{{model}}} {0.35 + 0.4 * load(2):.4f}",
        f"walet_prompt_tokens_total{{{model}}} {prompt:.0f}",
        f"walet_prompt_tokens_cached_total{{{model}}} {sum(hits.values()):.0f}",
        f"walet_generation_tokens_total{{{model}}} {pieces:.0f}",
        f"walet_time_to_first_token_seconds_count{{{model}}} {firsts:.0f}",
        f"walet_inter_token_latency_seconds_count{{{model}}} {pieces - firsts:.0f}",
        f'walet_request_success_total{{{model},finished_reason="stop"}} {4 * age:.0f}',
        f'walet_request_success_total{{{model},finished_reason="error"}} 3',
        f'walet_requests_refused_total{{kind="rate_limit",endpoint="chat_completions"}} {int(0.05 * age + 2 * math.sin(age / 29) + 8)}',
        'walet_requests_refused_total{kind="budget",endpoint="chat_completions"} 7',
    ]
    for tier, value in hits.items():
        lines.append(f'walet_prefix_cache_hits_total{{{model},tier="{tier}"}} {value:.0f}')
    lines.append(f'walet_prefix_cache_bytes{{{model},tier="memory"}} 21300000000')
    lines.append(f'walet_prefix_cache_bytes{{{model},tier="disk"}} 186000000000')
    for name, centre in [("walet_time_to_first_token_seconds", 0.16), ("walet_request_queue_time_seconds", 0.05),
                         ("walet_time_per_output_token_seconds", 0.022)]:
        times = sorted(observation(index) * centre for index in range(int(firsts)))
        for bound in BOUNDS + [math.inf]:
            label = "+Inf" if bound == math.inf else f"{bound:g}"
            lines.append(f'{name}_bucket{{{model},le="{label}"}} {bisect.bisect_right(times, bound)}')
    return "\n".join(lines) + "\n# EOF\n"


def usage_page():
    today = datetime.now(timezone.utc).date()
    days = [today - timedelta(days=back) for back in range(13, -1, -1)]
    names = [("Finance", "finance", 5, 100), ("Citizen portal", "portal", 20, 400), ("Research group", "research", None, 250),
             ("Press office", "press", 2, 30), ("Legal", "legal", None, None), ("Nightly <b>batch</b>", "research", 8, 120)]
    keys = []
    for index, (name, tenant, day_budget, month_budget) in enumerate(names):
        rows = []
        for day in days:
            busy = (0.35 if day.weekday() >= 5 else 1) * (1 + 0.4 * math.sin(day.toordinal() * (index + 2)))
            requests = int(busy * (420 - 60 * index))
            fresh, cached, output = requests * 310, requests * 1480, requests * (190 + 15 * index)
            rows.append({"day": day.isoformat(), "requests": requests, "fresh": fresh, "cached": cached, "output": output,
                         "cost": f"{(fresh * 0.56 + cached * 0.14 + output * 2.24) / 1e6 * 12:.6f}"})
        spent_day = float(rows[-1]["cost"])
        spent_month = sum(float(row["cost"]) for row in rows)
        keys.append({
            "id": f"wk_{3801 + 977 * index:04x}", "name": name, "tenant": tenant, "state": "revoked" if name == "Legal" else "active",
            "limits": {"requests_per_minute": 60, "tokens_per_minute": 200_000, "concurrency": 8, "budget_day": day_budget and f"{day_budget}.00",
                       "budget_month": month_budget and f"{month_budget}.00"},
            "spend": {"day": f"{spent_day:.4f}", "month": f"{spent_month:.4f}"}, "running": [3, 7, 2, 0, 0, 1][index], "days": rows})
    return {"object": "walet.usage", "currency": "USD", "days": [day.isoformat() for day in days], "keys": keys}


class MockServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.state = State()

    def handle_error(self, request, client_address):
        pass  # a browser that leaves is no error here

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serves the page with answers that are known.")
    parser.add_argument("--port", type=int, default=8787)
    server = MockServer(parser.parse_args().port)
    print(f"{server.url} (operator's key: {OPERATOR_KEY})")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
