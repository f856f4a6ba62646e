"""Checks `walet serve` in front of a real llama-server: chats, streams, thinking, calls, usage, errors, cancelling.

    python3 Tools/check_upstream.py --walet .build/release/walet --server LLAMA_SERVER --model SmolLM2-135M-Instruct.gguf

Standard library only. Starts llama-server (llama.cpp's program of that name) with a key, and walet in front of it, on free
ports of 127.0.0.1, with accounts and audit log in a folder that is removed afterwards. With --url a walet that runs already is
used; its model is then named by --name, and --server's port by --port. Prints one line a check, `ok` or `FAILED` with the
reason, and ends with status 1 where one failed.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse

from llama_server import free_port, llama_server, request

KEY = "sk-of-the-upstream"
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Pair:
    """walet, and the llama-server behind it."""

    def __init__(self, url, upstream, name):
        self.url = url
        self.upstream = upstream
        self.name = name

    def post(self, path, body, direct=False, status=200):
        body = {"model": self.name, **body}
        found, headers, content = request((self.upstream if direct else self.url) + path, body,
                                          key=KEY if direct else None)
        expect(found == status, f"status {found} instead of {status}: {content[:300]}")
        return json.loads(content)

    def stream(self, path, body):
        """The chunks of a stream, which must end in [DONE]."""
        address = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
        text = json.dumps({"model": self.name, "stream": True, **body})
        connection.request("POST", path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        expect(answer.status == 200, f"status {answer.status}: {content[:300]}")
        lines = content.split("\n\n")
        data = [line[6:] for line in lines if line.startswith("data: ")]
        expect(data and data[-1] == "[DONE]", f"the stream ends in {data[-1:]}")
        return [json.loads(line) for line in data[:-1]]

    def busy(self):
        """Requests that llama-server works on, by its own metrics."""
        content = request(self.upstream + "/metrics", key=KEY)[2].decode()
        return int(float(re.search(r"^llamacpp:requests_processing (\S+)", content, re.M)[1]))

    def metric(self, name):
        content = request(self.url + "/metrics")[2].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)", content, re.M)
        return float(found[1]) if found else 0.0


def question(text="Say hello.", **members):
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 12, **members}


CHAT = "/v1/chat/completions"


@check
def the_model_is_listed_with_its_context(pair):
    models = json.loads(request(pair.url + "/v1/models")[2])["data"]
    model = next(model for model in models if model["id"] == pair.name)
    upstream = json.loads(request(pair.upstream + "/v1/models", key=KEY)[2])["data"][0]
    # Known once it was asked for.
    expect(model.get("max_model_len") == upstream["meta"]["n_ctx"], f"{model} is not {upstream['meta']['n_ctx']}")


@check
def a_chat_is_the_same_as_without_walet(pair):
    ours, theirs = (pair.post(CHAT, question(), direct) for direct in [False, True])
    expect(ours["choices"][0]["message"]["content"] == theirs["choices"][0]["message"]["content"], "the texts differ")
    expect(ours["choices"][0]["finish_reason"] == theirs["choices"][0]["finish_reason"], "the ends differ")
    for key in ["prompt_tokens", "completion_tokens", "total_tokens"]:
        expect(ours["usage"][key] == theirs["usage"][key], f"{key}: {ours['usage'][key]}, {theirs['usage'][key]}")


@check
def a_stream_says_what_the_whole_answer_says(pair):
    whole = pair.post(CHAT, question())
    chunks = pair.stream(CHAT, question(stream_options={"include_usage": True}))
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    expect(text == whole["choices"][0]["message"]["content"], f"{text!r} differs")
    expect(chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"], "the usage differs")


@check
def a_repeated_prompt_is_cached_and_told(pair):
    body = question("Tell me about " + ", ".join(f"city {index}" for index in range(60)), max_tokens=1)
    pair.post(CHAT, body)
    usage = pair.post(CHAT, body)["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    expect(0 < cached <= usage["prompt_tokens"], f"{cached} of {usage['prompt_tokens']} are cached")
    expect(usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"], "no sum")


@check
def tokens_are_counted_as_they_are_charged(pair):
    counted = pair.post("/tokenize", {"messages": question()["messages"]})
    charged = pair.post(CHAT, question(max_tokens=1))["usage"]["prompt_tokens"]
    expect(counted["count"] == charged, f"{counted['count']} counted, {charged} charged")
    text = "Grüße, 世界"
    tokens = pair.post("/tokenize", {"prompt": text})["tokens"]
    expect(pair.post("/detokenize", {"tokens": tokens})["prompt"].endswith(text), "the text does not come back")


@check
def completions_of_text_and_of_tokens_are_the_same(pair):
    tokens = pair.post("/tokenize", {"prompt": "Once upon a time"})["tokens"]
    texts = [pair.post("/v1/completions", {"prompt": prompt, "max_tokens": 8, "temperature": 0, "logprobs": 2})
             for prompt in ["Once upon a time", tokens]]
    expect(texts[0]["choices"][0]["text"] == texts[1]["choices"][0]["text"], "the texts differ")
    logprobs = texts[0]["choices"][0]["logprobs"]
    expect(len(logprobs["tokens"]) == 8 and all(value <= 0 for value in logprobs["token_logprobs"]), f"{logprobs}")


@check
def log_probabilities_are_those_of_llama_server(pair):
    body = question(max_tokens=4, logprobs=True, top_logprobs=3)
    ours, theirs = (pair.post(CHAT, body, direct)["choices"][0]["logprobs"]["content"] for direct in [False, True])
    for one, other in zip(ours, theirs, strict=True):
        expect(one["token"] == other["token"] and abs(one["logprob"] - other["logprob"]) < 1e-3, f"{one} {other}")
        expect(len(one["top_logprobs"]) == 3, "three alternatives")


@check
def a_schema_is_kept_to(pair):
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 10}}, "required": ["city"],
              "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    answer = pair.post(CHAT, question("A city as JSON", max_tokens=60, response_format=form))
    place = json.loads(answer["choices"][0]["message"]["content"])
    expect(list(place) == ["city"], f"found {place}")


@check
def a_seed_gives_the_same_answer_again(pair):
    body = question("Tell a story.", temperature=1.5, seed=42, max_tokens=10)
    texts = [pair.post(CHAT, body)["choices"][0]["message"]["content"] for _ in range(2)]
    expect(texts[0] == texts[1], f"{texts}")
    choices = pair.post(CHAT, {**body, "n": 2})["choices"]
    expect(len({choice["message"]["content"] for choice in choices}) == 2, "two choices are the same")


@check
def a_stop_ends_the_answer(pair):
    whole = pair.post(CHAT, question(max_tokens=30))["choices"][0]["message"]["content"]
    stop = whole.split()[2]
    answer = pair.post(CHAT, question(max_tokens=30, stop=[stop]))["choices"][0]
    expect(stop not in answer["message"]["content"] and answer["finish_reason"] == "stop", f"{answer}")


@check
def the_dialect_of_anthropic_goes_through_too(pair):
    answer = pair.post("/v1/messages", {"max_tokens": 8, "messages": question()["messages"], "temperature": 0})
    expect(answer["content"][0]["type"] == "text" and answer["content"][0]["text"], f"{answer}")
    expect(answer["usage"]["output_tokens"] == 8, f"{answer['usage']}")


@check
def a_prompt_that_is_too_long_is_the_clients_error(pair):
    answer = pair.post(CHAT, question("word " * 5000), status=400)
    expect(answer["error"]["code"] == "context_length_exceeded", f"{answer}")


@check
def a_client_that_leaves_ends_the_work(pair):
    address = urllib.parse.urlsplit(pair.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    body = {"model": pair.name, "stream": True, **question("Count from one to a thousand.", max_tokens=1500)}
    connection.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read(200)
    expect(pair.busy() == 1, f"{pair.busy()} requests run")
    begin = time.monotonic()
    answer.close()
    connection.close()
    while pair.busy() > 0:
        expect(time.monotonic() - begin < 10, "llama-server goes on for ten seconds")
        time.sleep(0.02)
    print(f"     ended within {time.monotonic() - begin:.2f} s")


@check
def many_at_once_are_all_answered(pair):
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda index: pair.post(CHAT, question(f"Say {index}.", max_tokens=4)), range(24)))
    expect(all(answer["usage"]["completion_tokens"] > 0 for answer in answers), "some said nothing")


@check
def the_metrics_count_what_was_asked(pair):
    prompt = pair.metric(f'walet_prompt_tokens_total{{model="{pair.name}"}}')
    usage = pair.post(CHAT, question())["usage"]
    after = pair.metric(f'walet_prompt_tokens_total{{model="{pair.name}"}}')
    expect(after - prompt == usage["prompt_tokens"], f"{after} - {prompt} is not {usage['prompt_tokens']}")


@contextlib.contextmanager
def walet(binary, upstream, name):
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        key = pathlib.Path(folder) / "key"
        key.write_text(KEY + "\n")
        log = open(pathlib.Path(folder) / "log", "w+")
        command = [binary, "serve", f"{name}={upstream}/v1", "--port", str(port), "--upstream-key", f"{name}={key}",
                   "--database", f"{folder}/accounts.sqlite", "--audit-dir", f"{folder}/audit", "--open-metrics"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": folder})
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while True:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"walet did not start:\n{log.read()[-2000:]}")
                try:
                    if request(f"{url}/ready", timeout=5)[0] == 200:
                        break
                except OSError:
                    pass
                time.sleep(0.1)
            yield url
            log.seek(0)
            expect(KEY not in log.read(), "the log tells the key")
        finally:
            process.terminate()
            process.wait()
            log.close()


def run(pair):
    failed = 0
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        try:
            function(pair)
            print(f"ok     {name}", flush=True)
        except Exception as error:
            failed += 1
            reason = error if isinstance(error, AssertionError) else traceback.format_exc()
            print(f"FAILED {name}: {reason}", flush=True)
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} checks passed")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--walet", help="the program, which is started in front of llama-server")
    parser.add_argument("--url", help="a walet that runs, in front of a llama-server at --port")
    parser.add_argument("--port", type=int, help="of llama-server; default: a free one")
    parser.add_argument("--name", default="smollm2", help="what walet calls the model")
    parser.add_argument("--server", required=True, help="llama-server")
    parser.add_argument("--model", required=True, help="a GGUF file of an instruct model")
    arguments = parser.parse_args()
    if (arguments.walet is None) == (arguments.url is None):
        parser.error("give --walet or --url")
    options = ["--metrics"]
    with llama_server(arguments.server, arguments.model, *options, key=KEY, port=arguments.port) as upstream:
        if arguments.url:
            failed = run(Pair(arguments.url.rstrip("/"), upstream, arguments.name))
        else:
            with walet(arguments.walet, upstream, arguments.name) as url:
                failed = run(Pair(url, upstream, arguments.name))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
