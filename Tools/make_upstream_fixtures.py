"""Records what a real llama-server answers: Tests/Fixtures/server/upstream.

    python3 Tools/make_upstream_fixtures.py --server LLAMA_SERVER --model SmolLM2-135M-Instruct.gguf

Standard library only. LLAMA_SERVER is llama.cpp's program of that name; the committed files come from the source in
llama-cpp-python 0.3.36 (PyPI). Files with the ending .sse are the bodies of streams as they came over the wire, .json those
of other answers. Prints each file's name and size. Times and ids in them differ from run to run.

SmolLM2 thinks nothing and calls nothing of itself, so thinking is opened by QwQ's chat template and closed by a budget, and
the beginning of a call is given to it to be gone on with. What is recorded is how llama-server tells of it.
"""

import argparse
import json
import pathlib

from llama_server import llama_server, request

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "Tests/Fixtures/server/upstream"
TEMPLATES = ROOT / "Tests/Fixtures/templates"

STREAM = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0, "timings_per_token": True}


def weather(description):
    return {
        "type": "function",
        "function": {
            "name": "weather",
            "description": description,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }


def chat(text, **members):
    return {"model": "smollm2", "messages": [{"role": "user", "content": text}], **members}


def record(name, url, body=None, status=200):
    found, _, content = request(url, body)
    if found != status:
        raise SystemExit(f"{name}: expected status {status}, found {found}: {content[:500]}")
    (FOLDER / name).write_bytes(content)
    print(f"{name} {len(content)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="llama-server")
    parser.add_argument("--model", required=True, help="a GGUF file of SmolLM2-135M-Instruct")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with llama_server(arguments.server, arguments.model) as url:
        record("models.json", f"{url}/v1/models")
        record("tokenize.json", f"{url}/tokenize", {"content": "Hello, world"})
        record("detokenize.json", f"{url}/detokenize", {"tokens": [19556, 28, 905]})
        record("apply-template.json", f"{url}/apply-template", chat("Hello"))
        completions, chats = f"{url}/v1/completions", f"{url}/v1/chat/completions"
        record("chat.sse", chats, chat("Say hello.", max_tokens=8, **STREAM))
        record("chat-stop.sse", chats, chat("Say hello.", max_tokens=60, stop=["!", "."], **STREAM))
        record("chat-logprobs.sse", chats, chat("Say hello.", max_tokens=3, logprobs=True, top_logprobs=2, **STREAM))
        record("completion.sse", completions,
               {"model": "smollm2", "prompt": "Once upon a", "max_tokens": 4, "logprobs": 2, **STREAM})
        # A smiley and a flag, each of several tokens.
        record("chat-unicode.sse", chats, chat("Repeat: 🙂🇮🇩 äöü", max_tokens=24, **STREAM))
        record("error-invalid.json", chats, chat("Hello", **{**STREAM, "temperature": "hot"}), status=400)
        record("error-context.json", chats, chat("word " * 3000, **STREAM), status=400)
    with llama_server(arguments.server, arguments.model, "--chat-template-file", str(TEMPLATES / "qwen3.jinja")) as url:
        # After the second description the model goes on in a way that is no call: an error in the middle of a stream.
        for name, description in [("chat-tools.sse", "d"), ("chat-tools-error.sse", "The weather of a city.")]:
            body = chat("Weather in Rome?", max_tokens=60, tools=[weather(description)], **STREAM,
                        chat_template_kwargs={"enable_thinking": False})
            call = '<tool_call>\n{"name": "weather", "arguments": {"city": "'
            body["messages"].append({"role": "assistant", "content": call})
            record(name, f"{url}/v1/chat/completions", body)
    with llama_server(arguments.server, arguments.model, "--chat-template-file", str(TEMPLATES / "qwq.jinja")) as url:
        record("chat-thinking.sse", f"{url}/v1/chat/completions",
               chat("Hello.", max_tokens=16, thinking_budget_tokens=5, **STREAM))
    with llama_server(arguments.server, arguments.model, key="the key") as url:
        record("error-key.json", f"{url}/v1/chat/completions", chat("Hello"), status=401)
    for file in sorted(FOLDER.iterdir()):
        text = file.read_text()
        if str(pathlib.Path(arguments.model).resolve().parent) in text:
            raise SystemExit(f"{file.name} names a path of this machine")
        if file.suffix == ".json":
            json.loads(text)


if __name__ == "__main__":
    main()
