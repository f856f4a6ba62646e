"""Talks to a running server's Responses API with OpenAI's own SDK: types, streams, tools, structure, stored conversations,
errors as exceptions.

Needs (Python 3.11):
    pip install -r Tools/requirements-sdk.txt
Run:
    python Tools/sdk_responses.py http://127.0.0.1:8080 --model NAME [--key KEY] [--other-tenant KEY]

Works with any model that has a chat template; what needs tools or thinking is said to be skipped where the model has none.
"""

import argparse
import json
import sys

import openai
from pydantic import BaseModel

from checks import Skip, check, run

parser = argparse.ArgumentParser()
parser.add_argument("base_url")
parser.add_argument("--model", required=True)
parser.add_argument("--key", default="none")
parser.add_argument("--other-tenant", help="a key of another tenant, which must not see this one's responses")
arguments = parser.parse_args()
BASE = arguments.base_url.rstrip("/") + "/v1"
client = openai.OpenAI(base_url=BASE, api_key=arguments.key, max_retries=0, timeout=120)
MODEL = arguments.model
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}

def strict(response):
    """No field of the answer may be of another type than the SDK says, or missing where it must be there."""
    type(response).model_validate(json.loads(response.model_dump_json(by_alias=True)))
    return response


@check
def response():
    answer = strict(client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=24))
    assert answer.id.startswith("resp_") and answer.object == "response"
    assert answer.status in ("completed", "incomplete") and answer.output_text
    message = next(item for item in answer.output if item.type == "message")
    assert message.role == "assistant" and message.content[0].type == "output_text"
    usage = answer.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens_details.cached_tokens <= usage.input_tokens
    assert usage.output_tokens_details.reasoning_tokens <= usage.output_tokens


@check
def stream_has_the_documented_order():
    events = list(client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=24, stream=True))
    names = [event.type for event in events]
    assert names[:2] == ["response.created", "response.in_progress"], names
    assert names[-1] in ("response.completed", "response.incomplete"), names
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    for kind in ("output_item", "content_part"):
        assert names.count(f"response.{kind}.added") == names.count(f"response.{kind}.done") > 0
    item = next(event.item for event in events if event.type == "response.output_item.added")
    assert item.id == events[-1].response.output[0].id


@check
def stream_helper():
    with client.responses.stream(model=MODEL, input="Say hello.", temperature=0, max_output_tokens=200) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert final.output_text == text and final.usage.output_tokens > 0


@check
def incomplete():
    answer = client.responses.create(model=MODEL, input="Say hello in five words.", max_output_tokens=2)
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage.output_tokens == 2


@check
def what_was_asked_is_repeated():
    answer = strict(
        client.responses.create(
            model=MODEL,
            input="Hi",
            instructions="Be brief.",
            max_output_tokens=4,
            temperature=0,
            top_p=0.5,
            metadata={"a": "b"},
            user="u",
            tools=[WEATHER],
            tool_choice="none",
            parallel_tool_calls=False,
            service_tier="auto",
            truncation="disabled",
        )
    )
    assert answer.instructions == "Be brief." and answer.metadata == {"a": "b"} and answer.temperature == 0
    assert answer.top_p == 0.5 and answer.max_output_tokens == 4 and answer.tool_choice == "none"
    assert answer.tools[0].name == "get_weather" and answer.parallel_tool_calls is False


@check
def a_conversation_goes_on():
    first = client.responses.create(model=MODEL, input="My name is Ada.", max_output_tokens=16)
    second = client.responses.create(
        model=MODEL, input="What is my name?", previous_response_id=first.id, max_output_tokens=16
    )
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens
    # The same conversation sent by the client costs the same.
    items = [{"role": "user", "content": "My name is Ada."}]
    items += [item.model_dump(exclude_none=True) for item in first.output]
    items += [{"role": "user", "content": "What is my name?"}]
    whole = client.responses.create(model=MODEL, input=items, max_output_tokens=16, store=False)
    assert whole.usage.input_tokens == second.usage.input_tokens, (whole.usage, second.usage)


@check
def stored_responses():
    made = client.responses.create(model=MODEL, input="Hi", max_output_tokens=4)
    read = client.responses.retrieve(made.id)
    assert read == made
    items = client.responses.input_items.list(made.id)
    assert items.data[0].role == "user" and items.data[0].content[0].text == "Hi"
    if arguments.other_tenant:
        stranger = openai.OpenAI(base_url=BASE, api_key=arguments.other_tenant, max_retries=0)
        for attempt in (stranger.responses.retrieve, stranger.responses.delete, stranger.responses.cancel):
            try:
                attempt(made.id)
            except openai.NotFoundError:
                continue
            raise AssertionError(f"another tenant may {attempt.__name__}")
    client.responses.delete(made.id)
    for attempt in (client.responses.retrieve, client.responses.delete):
        try:
            attempt(made.id)
        except openai.NotFoundError:
            continue
        raise AssertionError("it is still there")
    unstored = client.responses.create(model=MODEL, input="Hi", max_output_tokens=4, store=False)
    try:
        client.responses.retrieve(unstored.id)
    except openai.NotFoundError:
        return
    raise AssertionError("it was stored")


def tools_or_skip(function):
    try:
        return function()
    except openai.BadRequestError as error:
        if "tool" in str(error) or "call" in str(error):
            raise Skip(str(error)) from error
        raise


@check
def a_function_is_called_and_its_result_answered():
    question = [{"role": "user", "content": "What is the weather in Bonn?"}]
    first = tools_or_skip(
        lambda: client.responses.create(
            model=MODEL, input=question, tools=[WEATHER], tool_choice="required", max_output_tokens=100
        )
    )
    call = next(item for item in first.output if item.type == "function_call")
    assert call.name == "get_weather" and call.status == "completed" and "city" in json.loads(call.arguments)
    second = client.responses.create(
        model=MODEL,
        input=[
            *question,
            *[item.model_dump(exclude_none=True) for item in first.output],
            {"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"},
        ],
        tools=[WEATHER],
        tool_choice="none",
        max_output_tokens=24,
    )
    assert second.output_text
    third = client.responses.create(
        model=MODEL,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"}],
        tools=[WEATHER],
        tool_choice="none",
        max_output_tokens=24,
    )
    assert third.usage.input_tokens == second.usage.input_tokens


@check
def a_function_call_is_streamed():
    def run():
        with client.responses.stream(
            model=MODEL,
            input="What is the weather in Bonn?",
            tools=[WEATHER],
            tool_choice={"type": "function", "name": "get_weather"},
            parallel_tool_calls=False,
            temperature=0,
            max_output_tokens=200,
        ) as stream:
            pieces = "".join(e.delta for e in stream if e.type == "response.function_call_arguments.delta")
            return pieces, stream.get_final_response()

    pieces, final = tools_or_skip(run)
    call = next(item for item in final.output if item.type == "function_call")
    assert pieces == call.arguments and "city" in json.loads(pieces)


class Person(BaseModel):
    name: str
    age: int


@check
def structured_output():
    answer = client.responses.parse(
        model=MODEL,
        input="Invent a person with a short name.",
        text_format=Person,
        max_output_tokens=200,
        extra_body={"reasoning": {"effort": "none"}},
    )
    assert isinstance(answer.output_parsed, Person), answer.output_text


@check
def log_probabilities():
    answer = client.responses.create(
        model=MODEL,
        input="Say hello.",
        max_output_tokens=8,
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        reasoning={"effort": "none"},
    )
    entries = next(item for item in answer.output if item.type == "message").content[0].logprobs
    assert entries and all(entry.logprob <= 0 and len(entry.top_logprobs) == 2 for entry in entries)
    text = b"".join(bytes(entry.bytes) for entry in entries).decode(errors="replace")
    assert answer.output_text.strip() in text


@check
def reasoning():
    try:
        answer = client.responses.create(
            model=MODEL, input="What is 2 + 2?", reasoning={"effort": "low"}, max_output_tokens=4000
        )
    except openai.BadRequestError as error:
        if "thinking" in str(error):
            raise Skip(str(error)) from error
        raise
    item = answer.output[0]
    if item.type != "reasoning":
        raise Skip("the model did not think")
    assert item.content[0].type == "reasoning_text" and item.content[0].text
    assert answer.usage.output_tokens_details.reasoning_tokens > 0
    with client.responses.stream(
        model=MODEL,
        input="What is 2 + 2?",
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        max_output_tokens=4000,
    ) as stream:
        names = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.reasoning_summary_text.delta" in names
    assert final.output[0].summary[0].text and final.output[0].encrypted_content
    client.responses.create(
        model=MODEL,
        input=[
            {"type": "reasoning", "summary": [], "encrypted_content": final.output[0].encrypted_content},
            {"role": "user", "content": "Again."},
        ],
        max_output_tokens=4,
    )


def expect(kind, parameter=None, **parameters):
    try:
        client.responses.create(**{"model": MODEL, "input": "Hi", "max_output_tokens": 4, **parameters})
    except kind as error:
        assert error.body["message"] and error.request_id.startswith("req_"), error.body
        if parameter:
            assert error.param == parameter, error.body
        return
    raise AssertionError(f"{kind.__name__} was expected for {parameters}")


@check
def errors_are_exceptions():
    expect(openai.BadRequestError, "temperature", temperature=7)
    expect(openai.BadRequestError, "surprise", extra_body={"surprise": 1})
    expect(openai.BadRequestError, "background", background=True)
    expect(openai.BadRequestError, "tools[0].type", tools=[{"type": "web_search"}])
    image = {"type": "input_image", "image_url": "http://127.0.0.1:9/x.png", "detail": "auto"}
    expect(openai.BadRequestError, "input[0].content[0].type", input=[{"role": "user", "content": [image]}])
    expect(openai.NotFoundError, model="no-such-model")
    expect(openai.NotFoundError, "previous_response_id", previous_response_id="resp_nobody")
    if arguments.key != "none":
        stranger = openai.OpenAI(base_url=BASE, api_key="wrong", max_retries=0)
        try:
            stranger.responses.create(model=MODEL, input="Hi")
        except openai.AuthenticationError:
            return
        raise AssertionError("the key was taken")


@check
def leaving_a_stream_is_no_error():
    stream = client.responses.create(model=MODEL, input="Tell a long story.", max_output_tokens=300, stream=True)
    first = next(iter(stream))
    stream.close()
    for _ in range(100):
        if client.responses.retrieve(first.response.id).status != "in_progress":
            return
    raise AssertionError("the response is still under way")


sys.exit(run(f"openai {openai.__version__} responses"))
