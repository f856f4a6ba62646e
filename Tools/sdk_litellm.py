"""Runs litellm against a server: chat, streams, tools, structured outputs, completions, messages, usage, cost, errors.

    .venv/bin/pip install -r Tools/requirements-sdk.txt
    .venv/bin/python Tools/sdk_litellm.py http://127.0.0.1:8080 --key walet-… --model smollm2

The checks look at what litellm makes of the answers, never at what a model says, so they hold for any model whose
answers can be constrained. Prints a line a check and `N passed, M failed`.
"""

import os

# litellm would otherwise fetch its table of prices at import.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import argparse  # noqa: E402
import asyncio  # noqa: E402
import importlib.metadata  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

import litellm  # noqa: E402
import pydantic  # noqa: E402

from checks import check, run  # noqa: E402

litellm.telemetry = False
litellm.suppress_debug_info = True
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
    },
}
PRICES = {"input_cost_per_token": 0.56e-6, "cache_read_input_token_cost": 0.14e-6, "output_cost_per_token": 2.24e-6}


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Server:
    def __init__(self, arguments):
        self.root = arguments.url.rstrip("/")
        self.key, self.model, self.tools_model = (
            arguments.key,
            arguments.model,
            arguments.tools_model or arguments.model,
        )
        # One that litellm has no price of: it is registered under the provider's name.
        litellm.register_model({f"openai/{self.model}": {"litellm_provider": "openai", "mode": "chat", **PRICES}})

    def common(self, provider="openai", name=None, **more):
        suffix = "" if provider == "anthropic" else "/v1"
        return {
            "model": f"{provider}/{name or self.model}",
            "api_base": self.root + suffix,
            "api_key": self.key,
            "num_retries": 0,
            "timeout": 600,
            **more,
        }

    def chat(self, **more):
        return litellm.completion(**self.common(**{"messages": QUESTION, "max_tokens": 16, **more}))


def expect_usage(usage):
    expect(usage.prompt_tokens > 0 and usage.completion_tokens > 0, "there are tokens")
    expect(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, "the total is the sum")
    expect(
        0 <= usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens, "what is cached is part of the prompt"
    )


@check
def chat(server):
    answer = server.chat(temperature=0, seed=1)
    choice = answer.choices[0]
    expect(isinstance(choice.message.content, str) and choice.finish_reason in ("stop", "length"), "there is a message")
    expect_usage(answer.usage)


@check
def cached_tokens_and_cost(server):
    long = [{"role": "system", "content": "You know every harbour of the coast. " * 40}, *QUESTION]
    server.chat(messages=long, temperature=0)
    answer = server.chat(messages=long, temperature=0)
    usage = answer.usage
    cached = usage.prompt_tokens_details.cached_tokens
    expect(cached >= 128, f"a repeated prompt is cached, but {cached} of {usage.prompt_tokens} tokens are")
    cost = (
        (usage.prompt_tokens - cached) * PRICES["input_cost_per_token"]
        + cached * PRICES["cache_read_input_token_cost"]
        + usage.completion_tokens * PRICES["output_cost_per_token"]
    )
    found = litellm.completion_cost(answer, model=f"openai/{server.model}")
    expect(abs(found - cost) < 1e-12, f"litellm counts the cost that the ledger does: {found}, expected {cost}")


@check
def choices(server):
    answer = server.chat(n=3, temperature=1, seed=7)
    expect([choice.index for choice in answer.choices] == [0, 1, 2], "there are three choices")


@check
def stream(server):
    chunks = list(server.chat(stream=True, stream_options={"include_usage": True}, temperature=0))
    whole = litellm.stream_chunk_builder(chunks, messages=QUESTION)
    expect(
        whole.choices[0].message.content == server.chat(temperature=0).choices[0].message.content,
        "the stream says the same",
    )
    usages = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    expect(len(usages) == 1, f"usage comes once, not {len(usages)} times")
    expect_usage(usages[0])


@check
def asynchronous(server):
    async def ask():
        answers = await asyncio.gather(
            *(litellm.acompletion(**server.common(messages=QUESTION, max_tokens=8, temperature=0)) for _ in range(8))
        )
        expect(len({answer.choices[0].message.content for answer in answers}) == 1, "eight at once say the same")
        pieces = [
            chunk
            async for chunk in await litellm.acompletion(**server.common(messages=QUESTION, max_tokens=8, stream=True))
        ]
        expect(pieces, "a stream has pieces")

    asyncio.run(ask())


def expect_call(message):
    call = message.tool_calls[0]
    expect(call.id and call.function.name == "get_weather", "the tool is called")
    expect(isinstance(json.loads(call.function.arguments)["city"], str), "with arguments of the schema")
    return call


@check
def tools(server):
    question = [{"role": "user", "content": "What is the weather in Bonn?"}]
    answer = server.chat(
        name=server.tools_model,
        messages=question,
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=200,
        temperature=0,
    )
    message = answer.choices[0].message
    expect(answer.choices[0].finish_reason == "tool_calls", "the call ends the answer")
    call = expect_call(message)
    result = {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": '{"weather": "rain"}'}
    history = [*question, message.model_dump(exclude_none=True), result]
    final = server.chat(name=server.tools_model, messages=history, tools=[WEATHER], tool_choice="none")
    expect(not final.choices[0].message.tool_calls, "no further tool is called where none may be")


@check
def streamed_tools(server):
    chunks = list(
        server.chat(
            name=server.tools_model,
            messages=[{"role": "user", "content": "What is the weather in Bonn?"}],
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            max_tokens=200,
            temperature=0,
            stream=True,
        )
    )
    expect_call(litellm.stream_chunk_builder(chunks).choices[0].message)


class City(pydantic.BaseModel):
    name: str
    inhabitants: int


@check
def structured_outputs(server):
    answer = server.chat(
        messages=[{"role": "user", "content": "Bonn, 330000 inhabitants."}],
        response_format=City,
        max_tokens=300,
        temperature=0,
    )
    City.model_validate_json(answer.choices[0].message.content)


@check
def text_completions(server):
    common = server.common("text-completion-openai", prompt="Once upon a time", max_tokens=8, temperature=0)
    answer = litellm.text_completion(**common)
    expect(isinstance(answer.choices[0].text, str) and answer.usage.completion_tokens > 0, "there is text")
    pieces = [chunk.choices[0].text or "" for chunk in litellm.text_completion(**common, stream=True)]
    expect("".join(pieces) == answer.choices[0].text, "the stream says the same")


@check
def responses(server):
    answer = litellm.responses(**server.common(input="Say hello.", max_output_tokens=16))
    expect(answer.output and answer.usage.output_tokens > 0, "there is an output")


@check
def messages(server):
    answer = litellm.completion(**server.common("anthropic", messages=QUESTION, max_tokens=16))
    expect(isinstance(answer.choices[0].message.content, str), "there is a message")
    expect_usage(answer.usage)
    chunks = list(litellm.completion(**server.common("anthropic", messages=QUESTION, max_tokens=16, stream=True)))
    expect(litellm.stream_chunk_builder(chunks).choices[0].message.role == "assistant", "streamed too")


def raises(kind, function):
    try:
        function()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


@check
def errors(server):
    error = raises(litellm.BadRequestError, lambda: server.chat(temperature=5))
    expect(error.status_code == 400 and "2.0" in str(error), "it says what was expected")
    raises(
        litellm.NotFoundError,
        lambda: litellm.completion(**server.common(messages=QUESTION) | {"model": "openai/no-such-model"}),
    )
    raises(
        litellm.ContextWindowExceededError,
        lambda: server.chat(messages=[{"role": "user", "content": "sea " * 200_000}]),
    )
    if server.key != "none":
        raises(
            litellm.AuthenticationError,
            lambda: litellm.completion(**server.common(messages=QUESTION) | {"api_key": "wrong"}),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="as in http://127.0.0.1:8080")
    parser.add_argument("--key", default="none", help="a key that may use the model")
    parser.add_argument("--model", required=True)
    parser.add_argument("--tools-model", help="a model whose template knows tools, where --model's does not")
    parser.add_argument("--only", help="the names of checks, with commas between")
    arguments = parser.parse_args()
    version = importlib.metadata.version("litellm")
    sys.exit(run(f"litellm {version}", Server(arguments), only=arguments.only))


if __name__ == "__main__":
    main()
