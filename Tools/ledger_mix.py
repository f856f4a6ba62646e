"""The mix of requests of check_ledger.py: what is sent, what must come of it, what a client learns from the answer."""

import dataclasses
import json

import http_load

KEYS = {
    "alpha": ["--tenant", "north"],
    "beta": ["--tenant", "north", "--priority", "5"],
    "gamma": ["--tenant", "south"],
    "narrow": ["--tenant", "south", "--concurrency", "2"],
    "limited": ["--requests-per-minute", "20"],
    "poor": ["--budget-day", "0.002"],
    "foreign": ["--models", "another-model"],
    "revoked": [],
}
BUDGETS = {"poor": "0.002"}
GOOD = ["alpha", "beta", "gamma"]

CHAT, COMPLETIONS, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"
# Long enough for some pages of the prefix cache, so that tokens are cached.
SYSTEMS = [
    f"You are the {role} of a small town by the sea. "
    + " ".join(
        f"Rule {number}: {rule}"
        for number, rule in enumerate(
            [
                "answer in few words and stay polite, whatever the visitor says.",
                "speak of the weather only when you are asked.",
                "the harbour opens at six and closes at ten, on Sundays at eight.",
                "never promise what the council has not decided.",
                "boats longer than twenty metres berth at the northern quay.",
                "the library lends books for four weeks.",
            ],
            1,
        )
    )
    for role in ("mayor", "harbour master", "librarian", "baker", "teacher")
]
TOPICS = "boats bread books rain fish ferries lamps bells maps ropes gulls tides letters gardens stairs clocks".split()


@dataclasses.dataclass
class Request:
    number: int
    kind: str
    key: str | None  # the key's name
    secret: str | None
    path: str
    body: object
    expected: object  # "success", "left", or the statuses that are right
    maximum_output: int = 0
    leave: http_load.Leave | None = None


def mix(generator, count, keys, model):
    """So many requests, of every kind; the same ones for the same generator, but for the secrets of the keys."""
    kinds = [kind for kind, (weight, _) in KINDS.items() for _ in range(weight)]
    chosen = list(KINDS) + [generator.choice(kinds) for _ in range(max(0, count - len(KINDS)))]
    generator.shuffle(chosen)
    requests = []
    for number, kind in enumerate(chosen[:count]):
        request = KINDS[kind][1](Maker(generator, number, model))
        request.number, request.kind = number, kind
        request.secret = keys[request.key]["secret"] if request.key in keys else request.key
        requests.append(request)
    return requests


class Maker:
    """Parts of requests, drawn at random."""

    def __init__(self, generator, number, model):
        self.random, self.number, self.model = generator, number, model

    def question(self):
        return f"Question {self.number}: tell me about {' and '.join(self.random.sample(TOPICS, 3))}."

    def sampling(self):
        return self.random.choice(
            [{"temperature": 0}, {"temperature": 0.9, "seed": self.number}, {"top_p": 0.8}, {"top_k": 20}, {}]
        )

    def key(self):
        return self.random.choice(GOOD)

    def chat(self, stream, maximum=None, **more):
        maximum = maximum or self.random.randint(1, 40)
        body = {
            "model": self.model,
            "max_tokens": maximum,
            **self.sampling(),
            "messages": [
                {"role": "system", "content": self.random.choice(SYSTEMS)},
                {"role": "user", "content": self.question()},
            ],
            **more,
        }
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Request(0, "", self.key(), None, CHAT, body, "success", maximum * more.get("n", 1))


# Kinds


def stream(make):
    return make.chat(True)


def whole(make):
    return make.chat(False)


def choices(make):
    return make.chat(make.random.random() < 0.5, n=make.random.randint(2, 4))


def schema(make):
    shape = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
        "required": ["name", "count"],
        "additionalProperties": False,
    }
    return make.chat(
        make.random.random() < 0.5,
        60,
        response_format={"type": "json_schema", "json_schema": {"name": "thing", "schema": shape, "strict": True}},
    )


def tools(make):
    function = {
        "name": "look_up",
        "description": "Looks a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    }
    # Not `required`, which only models that know of tools can follow.
    return make.chat(
        make.random.random() < 0.5,
        60,
        tools=[{"type": "function", "function": function}],
        tool_choice=make.random.choice(["auto", "none"]),
    )


def completions(make):
    prompts = make.random.choice([1, 1, 1, 3])
    texts = [f"{make.random.choice(SYSTEMS)} {make.question()}" for _ in range(prompts)]
    maximum = make.random.randint(1, 24)
    body = {"model": make.model, "prompt": texts if prompts > 1 else texts[0], "max_tokens": maximum, **make.sampling()}
    if make.random.random() < 0.4:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    elif make.random.random() < 0.4:
        body |= {"echo": True, "logprobs": 1, "max_tokens": make.random.choice([0, maximum])}
    return Request(0, "", make.key(), None, COMPLETIONS, body, "success", maximum * prompts)


def messages(make):
    maximum = make.random.randint(1, 30)
    body = {
        "model": make.model,
        "max_tokens": maximum,
        "system": make.random.choice(SYSTEMS),
        "messages": [{"role": "user", "content": make.question()}],
        "stream": make.random.random() < 0.5,
    }
    return Request(0, "", make.key(), None, MESSAGES, body, "success", maximum)


def responses(make):
    maximum = make.random.randint(16, 30)
    body = {
        "model": make.model,
        "max_output_tokens": maximum,
        "instructions": make.random.choice(SYSTEMS),
        "input": make.question(),
        "stream": make.random.random() < 0.5,
        "store": False,
    }
    return Request(0, "", make.key(), None, RESPONSES, body, "success", maximum)


def leaving(request, **how):
    request.leave, request.expected = http_load.Leave(**how), "left"
    return request


def leaves_stream(make):
    return leaving(make.chat(True, 60), events=make.random.randint(1, 20))


def leaves_at_the_end(make):
    maximum = make.random.randint(2, 8)
    return leaving(make.chat(True, maximum, ignore_eos=True), events=maximum + make.random.randint(-1, 3))


def leaves_early(make):
    return leaving(make.chat(make.random.random() < 0.7, 60), seconds=make.random.random() * 0.05)


def leaves_waiting(make):
    return leaving(make.chat(False, 60), seconds=make.random.random())


def leaves_choices(make):
    return leaving(make.chat(True, 40, n=3), events=make.random.randint(1, 30))


def leaves_messages(make):
    request = messages(make)
    request.body["stream"] = True
    return leaving(request, events=make.random.randint(1, 12))


def closes_half(make):
    return leaving(make.chat(True, 60), seconds=make.random.random() * 0.5, half=True)


def with_key(name, *statuses):
    def kind(make):
        request = make.chat(make.random.random() < 0.5)
        request.key, request.expected = name, statuses
        return request

    return kind


def wrong_parameter(make):
    request = make.chat(make.random.random() < 0.5)
    request.body |= make.random.choice(
        [
            {"temperature": 5},
            {"max_tokens": 0},
            {"n": 0},
            {"top_p": -1},
            {"messages": []},
            {"no_such_parameter": 1},
            {"stop": [""]},
            {"logit_bias": {"1": 1000}},
            {"response_format": {"type": "poem"}},
            {"max_tokens": "many"},
            {"tool_choice": "required"},
            {"top_logprobs": 50, "logprobs": True},
            {"seed": 0.5},
            {"stream": "yes"},
        ]
    )
    request.expected = (400,)
    return request


def wrong_body(make):
    request = make.chat(False)
    request.body = make.random.choice(
        [b'{"model": ', b'{"model": "a", "model": "b"}', b"[" * 5000, b"\xff\xfe{}", b'{"model": 1e999}']
    )
    request.expected = (400,)
    return request


def unknown_model(make):
    request = make.chat(make.random.random() < 0.5)
    request.body["model"], request.expected = "no-such-model", (404,)
    return request


def too_long(make):
    request = make.chat(make.random.random() < 0.5)
    request.body["messages"][1]["content"] = "sea " * 4000
    request.expected = (400,)
    return request


KINDS = {
    "stream": (30, stream),
    "whole": (12, whole),
    "choices": (6, choices),
    "schema": (2, schema),
    "tools": (2, tools),
    "completions": (7, completions),
    "messages": (6, messages),
    "responses": (5, responses),
    "leaves stream": (6, leaves_stream),
    "leaves at the end": (3, leaves_at_the_end),
    "leaves early": (4, leaves_early),
    "leaves waiting": (3, leaves_waiting),
    "leaves choices": (2, leaves_choices),
    "leaves messages": (2, leaves_messages),
    "closes half": (2, closes_half),
    # A key that is over one of its limits is refused, and is not before.
    "concurrency": (3, with_key("narrow", 200, 429)),
    "rate": (3, with_key("limited", 200, 429)),
    "budget": (4, with_key("poor", 200, 429)),
    "not its model": (1, with_key("foreign", 404)),
    "revoked key": (1, with_key("revoked", 401)),
    "wrong key": (1, with_key("walet-" + "x" * 43, 401)),
    "no key": (1, with_key(None, 401)),
    "wrong parameter": (4, wrong_parameter),
    "wrong body": (2, wrong_body),
    "unknown model": (2, unknown_model),
    "too long": (2, too_long),
}


# What a client learns


def seen(request, answer):
    """{"usage": counts where the answer came in whole, "pieces": events with content, "as_expected": …}."""
    usage, pieces = read(request, answer) if answer.status == 200 else (None, 0)
    if request.expected == "success":
        right = usage is not None
    elif request.expected == "left":
        # Who wanted to leave may find the answer there already.
        right = answer.has_left or usage is not None
    else:
        right = answer.status in request.expected and (answer.status != 200 or usage is not None)
    return {"usage": usage, "pieces": pieces, "as_expected": right}


def read(request, answer):
    """The counts of a whole answer, else None; and how many events had content."""
    if not (isinstance(request.body, dict) and request.body.get("stream")):
        return (counts(request.path, (answer.json() or {}).get("usage")) if answer.is_whole else None), 0
    usage, pieces, is_done = None, 0, False
    for _, name, data in answer.events():
        if data == b"[DONE]":
            is_done = True
            continue
        value = json.loads(data)
        if request.path in (CHAT, COMPLETIONS):
            usage = value.get("usage") or usage
            pieces += any(
                choice.get("text")
                or choice.get("delta", {}).get("content")
                or choice.get("delta", {}).get("tool_calls")
                for choice in value.get("choices", [])
            )
        elif request.path == MESSAGES:
            pieces += name == "content_block_delta"
            if name == "message_delta":
                usage = value["usage"]
            is_done |= name == "message_stop"
        else:
            pieces += name == "response.output_text.delta"
            if name in ("response.completed", "response.incomplete"):
                usage, is_done = value["response"]["usage"], True
    return (counts(request.path, usage) if is_done and answer.is_whole else None), pieces


def counts(path, usage):
    """Tokens as the ledger has them, from an API's own usage."""
    if not usage:
        return None
    if path in (CHAT, COMPLETIONS):
        found = {
            "prompt": usage["prompt_tokens"],
            "cached": usage["prompt_tokens_details"]["cached_tokens"],
            "output": usage["completion_tokens"],
            "reasoning": usage["completion_tokens_details"]["reasoning_tokens"],
        }
        if usage["prompt_cache_hit_tokens"] != found["cached"] or (
            usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] != found["prompt"]
        ):
            raise ValueError(f"usage contradicts itself: {usage}")
        return found
    if path == MESSAGES:
        cached = usage["cache_read_input_tokens"]
        return {"prompt": usage["input_tokens"] + cached, "cached": cached, "output": usage["output_tokens"]}
    return {
        "prompt": usage["input_tokens"],
        "cached": usage["input_tokens_details"]["cached_tokens"],
        "output": usage["output_tokens"],
        "reasoning": usage["output_tokens_details"]["reasoning_tokens"],
    }
