"""Starts, watches and ends servers for the scripts that put load on them; it has no command of its own.

`Server` is any program that answers GET on a path with 200 once it is ready; `Walet` is `walet serve` with accounts
of its own in a folder, so that nothing of the machine's real accounts is touched.
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server of this machine, on a port that stays the same when it is started again."""

    def __init__(self, command, log, ready="/health", port=None, environment=None):
        self.port = port or free_port()
        self.command = [str(part) for part in command]
        self.log, self.ready, self.environment = pathlib.Path(log), ready, environment
        self.process = None

    def start(self, timeout=120):
        """Starts it and waits until it is ready. Raises RuntimeError with its log's end where it is not in time."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended with status {self.process.returncode}:\n{self.tail()}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ready}", timeout=5) as answer:
                    if answer.status == 200:
                        return self
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.02)
        self.stop(kill=True)
        raise RuntimeError(f"{self.command[0]} was not ready within {timeout} s:\n{self.tail()}")

    def stop(self, kill=False, timeout=60):
        """Ends it by SIGTERM, or at once by SIGKILL; gives the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def memory(self):
        """Bytes that are resident: {"all": …, "anonymous": …}."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        found = {name: int(size) * 1024 for name, size in re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB", text, re.M)}
        return {"all": found["VmRSS"], "anonymous": found["RssAnon"]}

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Walet(Server):
    """`walet serve` with one model, and accounts in `folder`."""

    def __init__(self, program, folder, model, name="model", options=(), port=None):
        self.program, self.folder, self.name = str(program), pathlib.Path(folder), name
        self.database = self.folder / "accounts.sqlite"
        port = port or free_port()
        # What the user's own environment says of Walet has no part in a measurement.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WALET_")}
        super().__init__(
            [
                program,
                "serve",
                f"{name}={model}",
                "--host",
                "127.0.0.1",
                "--port",
                port,
                "--database",
                self.database,
                *options,
            ],
            self.folder / "server.log",
            "/ready",
            port,
            environment,
        )

    def run(self, *arguments, check=True):
        """What another command of walet prints about these accounts."""
        done = subprocess.run(
            [self.program, *map(str, arguments)], capture_output=True, text=True, env=self.environment
        )
        if check and done.returncode:
            raise RuntimeError(
                f"walet {' '.join(map(str, arguments))}: status {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def make_key(self, name, *options):
        """A new key: its members, among them `id` and `secret`."""
        return json.loads(self.run("keys", "create", name, "--database", self.database, "--json", *options))


def find_model(root, given):
    """The GGUF file to serve: the one that was given, or the one that `make data` fetches."""
    path = pathlib.Path(given) if given else root / ".models" / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        sys.exit(f"no {path}; run 'make data' first, or say --model PATH")
    return path


def find_walet(root, given):
    path = pathlib.Path(given) if given else root / ".build" / "release" / "walet"
    if not path.exists():
        sys.exit(f"no {path}; run 'make build' first, or say --walet PATH")
    return path.resolve()
