"""Runs llama-server for the scripts beside this one; not to be run by itself."""

import contextlib
import json
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def request(url, body=None, key=None, timeout=120):
    """Status, headers and bytes of an answer; a document is posted, without one the request is a GET."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@contextlib.contextmanager
def llama_server(binary, model, *options, key=None, port=None):
    """A llama-server that answers; its address. One thread: on a machine that has others to do, more would only wait."""
    port = port or free_port()
    command = [binary, "-m", model, "--port", str(port), "--alias", "smollm2", "-c", "4096", "-np", "2", "-t", "1",
               "--jinja", *options]
    if key:
        command += ["--api-key", key]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 180
            while True:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"llama-server did not start:\n{log.read().decode(errors='replace')[-2000:]}")
                try:
                    if request(f"{url}/health", timeout=5)[0] == 200:
                        break
                except OSError:
                    pass
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait()
