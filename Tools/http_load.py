"""A light HTTP client for load on a server of chats: raw asyncio, no packages, nothing parsed while answers arrive.

While an answer arrives only its bytes and their times are kept, so that the client takes little of a machine that it
shares with the server. What the bytes say is worked out afterwards. A client can also leave in the middle, as people
do.

Used by Benchmarks/serving.py, Tools/check_ledger.py and Tools/soak.py; it has no command of its own.
"""

import asyncio
import dataclasses
import json
import time


@dataclasses.dataclass
class Leave:
    """When a client leaves before the end: after so many events or so many seconds, whichever comes first."""

    events: int | None = None
    seconds: float | None = None
    half: bool = False  # close only the sending side, and go on reading


class Answer:
    """What came back for one request, with times of time.perf_counter()."""

    def __init__(self):
        self.sent = None  # when the request was written; None where no connection came about
        self.arrivals = []  # (time, bytes)
        self.is_whole = False  # the transfer reached its end
        self.has_left = False  # this client left first
        self.error = None
        self._head = None

    # The head

    def head(self):
        """(status, headers with lower-case names, bytes of the head), or None where no head came."""
        if self._head is None:
            data = b"".join(part for _, part in self.arrivals)
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return None
            lines = data[:end].decode("latin-1").split("\r\n")
            headers = dict(
                (name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])
            )
            self._head = int(lines[0].split(" ")[1]), headers, end + 4
        return self._head

    @property
    def status(self):
        return self.head()[0] if self.head() else None

    @property
    def headers(self):
        return self.head()[1] if self.head() else {}

    @property
    def request_id(self):
        return self.headers.get("x-request-id")

    # The body

    def payload(self):
        """(time, bytes) of the body, without the framing of chunks."""
        if not self.head():
            return
        skip = self.head()[2]
        is_chunked = "chunked" in self.headers.get("transfer-encoding", "")
        buffer, missing = b"", 0  # missing: bytes of the chunk that is being read, its CRLF included
        for at, data in self.arrivals:
            if skip:
                data, skip = data[skip:], max(0, skip - len(data))
            if not is_chunked:
                if data:
                    yield at, data
                continue
            buffer += data
            parts = []
            while buffer:
                if not missing:
                    end = buffer.find(b"\r\n")
                    if end < 0:
                        break
                    size = int(buffer[:end].split(b";")[0], 16)
                    buffer = buffer[end + 2 :]
                    if size == 0:
                        skip, buffer = 1 << 62, b""  # what follows is the end of the framing
                        break
                    missing = size + 2
                take = buffer[:missing]
                buffer, missing = buffer[len(take) :], missing - len(take)
                parts.append(take[: len(take) - max(0, 2 - missing)] if missing < 2 else take)
            if any(parts):
                yield at, b"".join(parts)

    def body(self):
        return b"".join(part for _, part in self.payload())

    def json(self):
        """The body's JSON value; None where it is none."""
        try:
            return json.loads(self.body())
        except ValueError:
            return None

    def events(self):
        """(time, name, data) of each whole server-sent event; comments are passed over."""
        buffer = b""
        for at, data in self.payload():
            buffer = (buffer + data).replace(b"\r\n", b"\n")
            while (end := buffer.find(b"\n\n")) >= 0:
                event, buffer = buffer[:end], buffer[end + 2 :]
                name, value = None, []
                for line in event.split(b"\n"):
                    if line.startswith(b"event:"):
                        name = line[6:].strip().decode()
                    elif line.startswith(b"data:"):
                        value.append(line[5:].removeprefix(b" "))
                if value:
                    yield at, name, b"\n".join(value)


class _Connection(asyncio.Protocol):
    def __init__(self, answer, request, leave, done):
        self.answer, self.request, self.leave, self.done = answer, request, leave, done
        self.transport = self.timer = self.length = None
        self.tail, self.received, self.events = b"", 0, 0

    def connection_made(self, transport):
        self.transport = transport
        self.answer.sent = time.perf_counter()
        transport.write(self.request)
        if self.leave and self.leave.seconds is not None:
            self.timer = asyncio.get_running_loop().call_later(self.leave.seconds, self.go)

    def data_received(self, data):
        answer = self.answer
        answer.arrivals.append((time.perf_counter(), data))
        self.received += len(data)
        if self.length is None and (head := answer.head()):
            chunked = "chunked" in head[1].get("transfer-encoding", "")
            self.length = -1 if chunked else head[2] + int(head[1].get("content-length", 0))
        # The last chunk ends so, and no event or JSON text does.
        self.tail = (self.tail + data)[-7:] if len(data) < 7 else data[-7:]
        if (
            self.length == -1
            and self.tail == b"\r\n0\r\n\r\n"
            or self.length not in (None, -1)
            and self.received >= self.length
        ):
            answer.is_whole = True
            self.close()
        elif self.leave and self.leave.events is not None:
            self.events += data.count(b"data: ")
            if self.events >= self.leave.events:
                self.go()

    def go(self):
        if self.leave.half and self.transport.can_write_eof():
            self.answer.has_left = True
            self.leave = None
            self.transport.write_eof()
        elif not self.done.done():
            self.answer.has_left = True
            self.transport.abort()
            self.done.set_result(None)

    def close(self):
        if self.timer:
            self.timer.cancel()
        self.transport.close()
        if not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error):
        if self.timer:
            self.timer.cancel()
        if not self.done.done():
            if not self.answer.is_whole and not self.answer.has_left:
                self.answer.error = f"connection lost: {error or 'closed'}"
            self.done.set_result(None)


async def ask(port, path, body=None, *, key=None, headers=None, method="POST", leave=None, timeout=600):
    """Sends one request on a connection of its own, and gives its Answer; never raises for what the server does."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    fields = {"Host": f"127.0.0.1:{port}", "Connection": "close", **({"Authorization": f"Bearer {key}"} if key else {})}
    if data or method == "POST":
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    fields |= headers or {}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    answer, loop = Answer(), asyncio.get_running_loop()
    done = loop.create_future()
    try:
        transport, _ = await loop.create_connection(
            lambda: _Connection(answer, head.encode() + data, leave, done), "127.0.0.1", port
        )
    except OSError as error:
        answer.error = f"no connection: {error}"
        return answer
    try:
        await asyncio.wait_for(done, timeout)
    except asyncio.TimeoutError:
        answer.error = f"no end within {timeout} s"
        transport.abort()
    return answer


# What a streamed chat says


@dataclasses.dataclass
class Chat:
    """The parts of a streamed chat completion that matter under load."""

    ttft: float | None = None  # seconds from the request to the first piece of content
    gaps: list = dataclasses.field(default_factory=list)  # seconds between pieces
    text: str = ""
    usage: dict | None = None
    finish: str | None = None
    is_done: bool = False  # [DONE] came
    error: str | None = None

    @property
    def per_token(self):
        """Seconds a token after the first, over the whole answer."""
        tokens = (self.usage or {}).get("completion_tokens", 0)
        return sum(self.gaps) / (tokens - 1) if tokens > 1 else None


def read_chat(answer):
    """What the answer to a streamed chat says; `error` tells why it is not whole."""
    chat, last = Chat(), None
    if answer.status != 200:
        detail = (answer.json() or {}).get("error", {}) if answer.head() else {}
        chat.error = (
            answer.error
            or f"status {answer.status}: {detail.get('message', '') if isinstance(detail, dict) else detail}"
        )
        return chat
    for at, _, data in answer.events():
        if data == b"[DONE]":
            chat.is_done = True
            continue
        value = json.loads(data)
        if "error" in value:
            chat.error = f"error in the stream: {value['error']}"
            continue
        chat.usage = value.get("usage") or chat.usage
        for choice in value.get("choices", []):
            piece = choice.get("delta", {}).get("content") or choice.get("delta", {}).get("reasoning_content")
            chat.finish = choice.get("finish_reason") or chat.finish
            if not piece:
                continue
            chat.text += piece
            if last is None:
                chat.ttft = at - answer.sent
            else:
                chat.gaps.append(at - last)
            last = at
    if chat.error is None and not (chat.is_done and answer.is_whole):
        chat.error = answer.error or "the stream ended before its end"
    return chat


def percentile(values, p):
    """The smallest value that p percent of all are not above."""
    values = sorted(values)
    return values[min(len(values) - 1, max(0, -(-len(values) * p // 100) - 1))] if values else None
