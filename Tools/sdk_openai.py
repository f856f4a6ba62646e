"""Runs OpenAI's Python SDK against a server: chat, streams, tools, structured outputs, completions, errors, retries.

    python3 -m venv .venv-sdk && .venv-sdk/bin/pip install -r Tools/requirements-sdk.txt
    .venv-sdk/bin/python Tools/sdk_openai.py http://127.0.0.1:8080 --key wk-… --model smollm2

The checks look at what the SDK makes of the answers, never at what a model says, so they hold for any model; those of tools
and structured outputs need one whose answers can be constrained. With --broke-key (a key whose budget is used up) and
--limited-key (one that is over its requests per minute) the retries are checked too.
"""

import argparse
import json
import sys

import httpx
import openai
import pydantic

from checks import check, run


class Server:
    """A server under test. `requests` counts what went over the wire, retries included."""

    def __init__(self, arguments):
        self.url = arguments.url.rstrip("/") + "/v1"
        self.key = arguments.key
        self.model = arguments.model
        self.broke_key = arguments.broke_key
        self.limited_key = arguments.limited_key
        self.requests = 0
        self.client = self.make(self.key)

    def make(self, key, **options):
        def count(_):
            self.requests += 1

        transport = httpx.Client(event_hooks={"request": [count]}, timeout=600)
        return openai.OpenAI(base_url=self.url, api_key=key, http_client=transport, **options)


QUESTION = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def expect_usage(usage, choices=1):
    expect(usage.prompt_tokens > 0, "a prompt has tokens")
    expect(usage.completion_tokens >= choices, "an answer has tokens")
    expect(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, "the total is the sum")
    cached = usage.prompt_tokens_details.cached_tokens
    expect(0 <= cached <= usage.prompt_tokens, "what is cached is part of the prompt")
    extra = usage.model_extra
    expect(extra["prompt_cache_hit_tokens"] == cached, "DeepSeek's field says the same")
    expect(extra["prompt_cache_hit_tokens"] + extra["prompt_cache_miss_tokens"] == usage.prompt_tokens, "hit + miss")
    expect(extra["cached_tokens"] == cached, "Kimi's field says the same")
    expect(usage.completion_tokens_details.reasoning_tokens <= usage.completion_tokens, "thinking is part of the answer")


@check
def models(server):
    listed = list(server.client.models.list())
    expect(server.model in [model.id for model in listed], "the model is listed")
    model = server.client.models.retrieve(server.model)
    expect(model.id == server.model and model.object == "model" and model.created > 0, "the model is described")


@check
def chat(server):
    raw = server.client.chat.completions.with_raw_response.create(
        model=server.model, messages=QUESTION, max_tokens=16, temperature=0, seed=1, user="someone", metadata={"a": "b"}
    )
    expect(raw.headers["x-request-id"].startswith("req_"), "the answer has a request id")
    answer = raw.parse()
    expect(answer._request_id == raw.headers["x-request-id"], "the SDK knows the request id")
    expect(answer.object == "chat.completion" and answer.model == server.model, "the answer is a completion")
    choice = answer.choices[0]
    expect(choice.message.role == "assistant" and choice.finish_reason in ("stop", "length"), "there is a message")
    expect(isinstance(choice.message.content, str), "it has content")
    expect_usage(answer.usage)


@check
def choices(server):
    answer = server.client.chat.completions.create(
        model=server.model, messages=QUESTION, max_tokens=8, n=3, temperature=1, seed=7
    )
    expect([choice.index for choice in answer.choices] == [0, 1, 2], "there are three choices")
    expect_usage(answer.usage, 3)


@check
def log_probabilities(server):
    answer = server.client.chat.completions.create(
        model=server.model, messages=QUESTION, max_tokens=4, logprobs=True, top_logprobs=3, temperature=0
    )
    content = answer.choices[0].logprobs.content
    expect(content, "there are log probabilities")
    for token in content:
        expect(token.logprob <= 0 and len(token.top_logprobs) == 3, "each token has three alternatives")
        expect(token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob, "the likeliest comes first")


@check
def stream(server):
    chunks = list(
        server.client.chat.completions.create(
            model=server.model, messages=QUESTION, max_tokens=16, stream=True, stream_options={"include_usage": True}
        )
    )
    expect(len({chunk.id for chunk in chunks}) == 1, "all chunks are of one answer")
    expect(chunks[0].choices[0].delta.role == "assistant", "the first says who speaks")
    expect(all(chunk.usage is None for chunk in chunks[:-1]), "usage comes in the last chunk only")
    expect(chunks[-1].choices == [], "which has no choices")
    expect(chunks[-2].choices[0].finish_reason in ("stop", "length"), "the one before says why it ended")
    expect_usage(chunks[-1].usage)


@check
def stream_helper(server):
    kinds = []
    with server.client.chat.completions.stream(model=server.model, messages=QUESTION, max_tokens=64, temperature=0) as events:
        for event in events:
            kinds.append(event.type)
        final = events.get_final_completion()
    expect("content.delta" in kinds and "content.done" in kinds, "the helper sees the content")
    expect(final.choices[0].message.role == "assistant", "and puts the answer together")


def expect_call(message, finish_reason):
    expect(finish_reason == "tool_calls", f"a call ends the answer, not {finish_reason}")
    call = message.tool_calls[0]
    expect(call.id and call.type == "function" and call.function.name == "get_weather", "the tool is called")
    expect(isinstance(json.loads(call.function.arguments)["city"], str), "with arguments of the schema")
    return call


@check
def tools(server):
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        answer = server.client.chat.completions.create(
            model=server.model,
            messages=[{"role": "user", "content": "What is the weather in Bonn?"}],
            tools=[WEATHER],
            tool_choice=choice,
            parallel_tool_calls=False,
            max_tokens=200, temperature=0,
        )
        call = expect_call(answer.choices[0].message, answer.choices[0].finish_reason)
    # What it said goes back with the tool's result, as agents send it.
    history = [
        {"role": "user", "content": "What is the weather in Bonn?"},
        answer.choices[0].message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": '{"weather": "rain"}'},
    ]
    final = server.client.chat.completions.create(
        model=server.model, messages=history, tools=[WEATHER], tool_choice="none", max_tokens=16
    )
    expect(not final.choices[0].message.tool_calls, "no further tool is called where none may be")


@check
def streamed_tools(server):
    with server.client.chat.completions.stream(
        model=server.model,
        messages=[{"role": "user", "content": "What is the weather in Bonn?"}],
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=200, temperature=0,
    ) as events:
        kinds = [event.type for event in events]
        final = events.get_final_completion()
    expect("tool_calls.function.arguments.done" in kinds, "the helper sees the whole call")
    expect_call(final.choices[0].message, final.choices[0].finish_reason)


class City(pydantic.BaseModel):
    name: str
    inhabitants: int


@check
def structured_outputs(server):
    answer = server.client.chat.completions.parse(
        model=server.model,
        messages=[{"role": "user", "content": "Bonn, 330000 inhabitants."}],
        response_format=City,
        max_tokens=300, temperature=0,
    )
    expect(isinstance(answer.choices[0].message.parsed, City), "the answer is what the class says")
    with server.client.chat.completions.stream(
        model=server.model,
        messages=[{"role": "user", "content": "Bonn, 330000 inhabitants."}],
        response_format=City,
        max_tokens=300, temperature=0,
    ) as events:
        for _ in events:
            pass
        expect(isinstance(events.get_final_completion().choices[0].message.parsed, City), "streamed too")


@check
def json_object(server):
    answer = server.client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": "A short JSON object."}],
        response_format={"type": "json_object"},
        max_tokens=300, temperature=0,
        extra_body={"thinking": {"type": "disabled"}},
    )
    if answer.choices[0].finish_reason == "stop":
        expect(isinstance(json.loads(answer.choices[0].message.content), dict), "the answer is a JSON object")


@check
def completions(server):
    answer = server.client.completions.create(
        model=server.model, prompt="Once upon a time", max_tokens=8, echo=True, logprobs=2, temperature=0
    )
    choice = answer.choices[0]
    expect(choice.text.startswith("Once upon a time"), "the prompt comes first")
    logprobs = choice.logprobs
    expect(logprobs.token_logprobs[0] is None, "of the first token nothing is known")
    counts = {len(logprobs.tokens), len(logprobs.token_logprobs), len(logprobs.top_logprobs), len(logprobs.text_offset)}
    expect(len(counts) == 1, "the four lists are of one length")
    expect(len(logprobs.tokens) == answer.usage.total_tokens, "they are of prompt and answer")
    for offset, token in zip(logprobs.text_offset, logprobs.tokens):
        if not token.startswith("bytes:"):
            expect(choice.text[offset:].startswith(token) or "\ufffd" in token, "offsets point at their tokens")
    many = server.client.completions.create(model=server.model, prompt=["One", "Two"], n=2, max_tokens=4)
    expect([choice.index for choice in many.choices] == [0, 1, 2, 3], "prompts and choices are numbered")
    text = "".join(
        chunk.choices[0].text
        for chunk in server.client.completions.create(model=server.model, prompt="One", max_tokens=4, stream=True)
    )
    expect(isinstance(text, str), "a stream has text")


def raises(kind, function):
    try:
        function()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


@check
def errors(server):
    create = server.client.chat.completions.create
    error = raises(openai.BadRequestError, lambda: create(model=server.model, messages=QUESTION, temperature=5))
    expect(error.param == "temperature" and error.type == "invalid_request_error", "the parameter is named")
    expect(error.code == "invalid_value" and error.request_id.startswith("req_"), "with a code and a request id")
    error = raises(openai.BadRequestError, lambda: create(model=server.model, messages=[]))
    expect(error.param == "messages", "an empty conversation is none")
    error = raises(
        openai.BadRequestError,
        lambda: create(
            model=server.model,
            messages=[
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/x.png"}}]}
            ],
        ),
    )
    expect(error.code == "unsupported_content_type", "images are refused")
    error = raises(openai.BadRequestError, lambda: create(model=server.model, messages=QUESTION, prediction={"type": "content", "content": "x"}))
    expect(error.code == "unsupported_parameter", "what is not offered is refused by name")
    error = raises(openai.NotFoundError, lambda: create(model="no-such-model", messages=QUESTION))
    expect(error.code == "model_not_found" and error.param == "model", "the model is named")
    error = raises(openai.NotFoundError, lambda: server.client.models.retrieve("no-such-model"))
    expect(error.code == "model_not_found", "here too")
    error = raises(openai.NotFoundError, lambda: server.client.embeddings.create(model=server.model, input="x", encoding_format="float"))
    expect(error.code == "unknown_url", "what is not there is not there")
    if server.key != "none":
        error = raises(openai.AuthenticationError, lambda: server.make("wk_wrong").models.list())
        expect(error.code == "invalid_api_key", "a wrong key is none")


@check
def retries(server):
    if server.broke_key:
        client = server.make(server.broke_key, max_retries=3)
        server.requests = 0
        error = raises(
            openai.RateLimitError, lambda: client.chat.completions.create(model=server.model, messages=QUESTION)
        )
        expect(error.code == "insufficient_quota", "the budget is used up")
        expect(error.response.headers["x-should-retry"] == "false", "and waiting will not help")
        expect(server.requests == 1, f"the SDK does not try again, but sent {server.requests} requests")
    if server.limited_key:
        client = server.make(server.limited_key, max_retries=1)
        try:
            # Uses up what the key may ask for in a minute, if that is not done.
            client.with_options(max_retries=0).chat.completions.create(
                model=server.model, messages=QUESTION, max_tokens=4
            )
        except openai.RateLimitError:
            pass
        server.requests = 0
        try:
            client.chat.completions.create(model=server.model, messages=QUESTION, max_tokens=4)
        except openai.RateLimitError as error:
            expect(int(error.response.headers["retry-after"]) > 0, "it says when to come back")
        expect(server.requests == 2, f"the SDK tries once more, but sent {server.requests} requests")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="as in http://127.0.0.1:8080")
    parser.add_argument("--key", default="none", help="a key that may use the model")
    parser.add_argument("--model", required=True)
    parser.add_argument("--broke-key", help="a key whose budget is used up")
    parser.add_argument("--limited-key", help="a key that is over its limit for some seconds")
    parser.add_argument("--only", help="the names of checks, with commas between")
    arguments = parser.parse_args()
    sys.exit(run(f"openai {openai.__version__}", Server(arguments), only=arguments.only))


if __name__ == "__main__":
    main()
