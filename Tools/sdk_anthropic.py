"""Talks to a running server with Anthropic's own SDK: types, streams, tools, counting, errors as exceptions.

Needs (Python 3.11):
    pip install -r Tools/requirements-sdk.txt
Run:
    python Tools/sdk_anthropic.py http://127.0.0.1:8080 --model NAME [--key KEY]

Works with any model that has a chat template; what needs tools or thinking is said to be skipped where the model has none.
"""

import argparse
import sys

import anthropic

from checks import Skip, check, run

parser = argparse.ArgumentParser()
parser.add_argument("base_url")
parser.add_argument("--model", required=True)
parser.add_argument("--key", default="none")
arguments = parser.parse_args()
client = anthropic.Anthropic(base_url=arguments.base_url, api_key=arguments.key, max_retries=0, timeout=120)
MODEL = arguments.model
GREEDY = {"temperature": 0}
HELLO = [{"role": "user", "content": "Say hello in five words."}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "cache_control": {"type": "ephemeral"},
}

def strict(model):
    """No field of the answer may be unknown to the SDK, or of another type than it says."""
    type(model).model_validate(model.model_dump(warnings="error"), strict=False)
    for part in [model, *getattr(model, "content", [])]:
        assert not part.model_extra, f"{type(part).__name__} has unknown fields {part.model_extra}"
    return model


@check
def message():
    answer = strict(client.messages.create(model=MODEL, max_tokens=24, messages=HELLO))
    assert answer.id.startswith("msg_") and answer.type == "message" and answer.role == "assistant"
    assert answer.stop_reason in ("end_turn", "max_tokens")
    assert answer.content and all(block.type in ("text", "thinking") for block in answer.content)
    usage = strict(answer.usage)
    assert usage.input_tokens >= 0 and usage.cache_read_input_tokens >= 0 and usage.cache_creation_input_tokens == 0
    assert usage.input_tokens + usage.cache_read_input_tokens > 0 and usage.output_tokens > 0
    assert usage.cache_creation.ephemeral_5m_input_tokens == 0
    assert usage.output_tokens_details.thinking_tokens <= usage.output_tokens


@check
def raw_stream_has_the_documented_order():
    events = list(client.messages.create(model=MODEL, max_tokens=24, messages=HELLO, stream=True))
    names = [event.type for event in events]
    assert names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"], names
    open_block = None
    for event in events[1:-2]:
        assert not event.model_extra, event
        if event.type == "content_block_start":
            assert open_block is None
            open_block = event.index
        elif event.type == "content_block_stop":
            assert open_block == event.index
            open_block = None
        else:
            assert event.type == "content_block_delta" and event.index == open_block
    assert open_block is None
    assert events[-2].usage.output_tokens > 0 and events[-2].delta.stop_reason


@check
def stream_helper():
    with client.messages.stream(model=MODEL, max_tokens=24, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "".join(block.text for block in final.content if block.type == "text")
    assert final.usage.output_tokens > 0 and final.stop_reason in ("end_turn", "max_tokens")


@check
def system_and_turns():
    answer = client.messages.create(
        model=MODEL,
        max_tokens=8,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        messages=[
            *HELLO,
            {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
            {"role": "user", "content": [{"type": "text", "text": "Again."}]},
        ],
        metadata={"user_id": "u"},
        service_tier="auto",
        # The SDK's newest models take none of these; the API still does.
        extra_body={"temperature": 0, "top_k": 5, "top_p": 0.9},
    )
    assert answer.usage.output_tokens <= 8


@check
def maximum_of_tokens():
    answer = client.messages.create(model=MODEL, max_tokens=2, messages=HELLO)
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens == 2


@check
def stop_sequences():
    whole = client.messages.create(model=MODEL, max_tokens=24, extra_body=GREEDY, messages=HELLO)
    text = next(block.text for block in whole.content if block.type == "text")
    middle = text[len(text) // 2 :][:3]
    assert middle, "the answer is too short to be stopped"
    cut = client.messages.create(model=MODEL, max_tokens=24, extra_body=GREEDY, messages=HELLO, stop_sequences=[middle])
    assert cut.stop_reason == "stop_sequence" and cut.stop_sequence == middle, cut
    assert not any(middle in block.text for block in cut.content if block.type == "text")


@check
def a_tool_is_called_and_its_result_answered():
    messages = [{"role": "user", "content": "What is the weather in Bonn?"}]
    try:
        first = client.messages.create(
            model=MODEL,
            max_tokens=200,
            messages=messages,
            tools=[WEATHER],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            extra_body=GREEDY,
        )
    except anthropic.BadRequestError as error:
        if "tool" in str(error) or "call" in str(error):
            raise Skip(str(error)) from error
        raise
    assert first.stop_reason == "tool_use", first
    call = next(block for block in first.content if block.type == "tool_use")
    assert call.name == "get_weather" and isinstance(call.input, dict) and "city" in call.input
    messages += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees"}]},
    ]
    second = client.messages.create(
        model=MODEL, max_tokens=24, messages=messages, tools=[WEATHER], tool_choice={"type": "none"}
    )
    assert second.stop_reason in ("end_turn", "max_tokens")


@check
def a_tool_call_is_streamed_as_json():
    try:
        with client.messages.stream(
            model=MODEL,
            max_tokens=100,
            messages=[{"role": "user", "content": "What is the weather in Bonn?"}],
            tools=[WEATHER],
            tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        ) as stream:
            pieces = "".join(event.partial_json for event in stream if event.type == "input_json")
            final = stream.get_final_message()
    except anthropic.BadRequestError as error:
        if "tool" in str(error) or "call" in str(error):
            raise Skip(str(error)) from error
        raise
    calls = [block for block in final.content if block.type == "tool_use"]
    assert len(calls) == 1 and pieces and calls[0].input["city"] is not None


@check
def thinking():
    try:
        answer = client.messages.create(
            model=MODEL, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}, messages=HELLO
        )
    except anthropic.BadRequestError as error:
        if "thinking" in str(error):
            raise Skip(str(error)) from error
        raise
    first = answer.content[0]
    assert first.type == "thinking" and first.thinking and first.signature, answer
    assert answer.usage.output_tokens_details.thinking_tokens > 0
    again = client.messages.create(
        model=MODEL,
        max_tokens=16,
        thinking={"type": "disabled"},
        messages=[*HELLO, {"role": "assistant", "content": answer.content}, {"role": "user", "content": "Again."}],
    )
    assert all(block.type == "text" for block in again.content)


@check
def structured_output():
    try:
        answer = client.messages.create(
            model=MODEL,
            max_tokens=100,
            thinking={"type": "disabled"},
            messages=[{"role": "user", "content": "Invent a person."}],
            output_config={
                "format": {
                    "type": "json_schema",
                    "schema": {
                        "type": "object",
                        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
                        "required": ["name", "age"],
                        "additionalProperties": False,
                    },
                }
            },
        )
    except anthropic.BadRequestError as error:
        raise Skip(str(error)) from error
    import json

    value = json.loads("".join(block.text for block in answer.content if block.type == "text"))
    assert isinstance(value["name"], str) and isinstance(value["age"], int)


@check
def counting_tokens_agrees_with_usage():
    count = strict(client.messages.count_tokens(model=MODEL, messages=HELLO, system="Be brief."))
    usage = client.messages.create(model=MODEL, max_tokens=1, messages=HELLO, system="Be brief.").usage
    assert count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens, (count, usage)


def expect(kind, **parameters):
    request = {"model": MODEL, "max_tokens": 5, "messages": HELLO, **parameters}
    try:
        client.messages.create(**request)
    except kind as error:
        assert error.type if hasattr(error, "type") else True
        assert error.body["type"] == "error" and error.body["error"]["message"], error.body
        assert error.body["request_id"] == error.request_id, error.body
        return error
    raise AssertionError(f"{kind.__name__} was expected for {parameters}")


@check
def errors_are_exceptions():
    expect(anthropic.BadRequestError, max_tokens=0)
    expect(anthropic.BadRequestError, extra_body={"temperature": 7})
    expect(anthropic.BadRequestError, extra_body={"surprise": 1})
    image = {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1:9/x.png"}}
    error = expect(anthropic.BadRequestError, messages=[{"role": "user", "content": [image]}])
    assert "messages[0].content[0]" in str(error)
    expect(anthropic.BadRequestError, messages=[*HELLO, {"role": "assistant", "content": "Hel"}])
    expect(anthropic.NotFoundError, model="no-such-model")


@check
def a_wrong_key_is_an_exception():
    if arguments.key == "none":
        raise Skip("the server is open")
    stranger = anthropic.Anthropic(base_url=arguments.base_url, api_key="wrong", max_retries=0)
    try:
        stranger.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    except anthropic.AuthenticationError as error:
        assert error.body["error"]["type"] == "authentication_error"
    else:
        raise AssertionError("the key was taken")


@check
def leaving_a_stream_is_no_error():
    with client.messages.stream(model=MODEL, max_tokens=200, messages=HELLO) as stream:
        next(iter(stream))
    client.messages.create(model=MODEL, max_tokens=1, messages=HELLO)


sys.exit(run(f"anthropic {anthropic.__version__}"))
