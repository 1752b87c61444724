"""A small OpenAI-compatible server on loopback that answers sums, and fails as it is told to.

The first tries of each prompt meet the fault, later ones do not, unless the fault is for ever; or all
tries within a window of time meet it. Not a model: what a real server answers is tested with vLLM, in its own environment.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KINDS = ("drop", "stall", "burst", "broken", "cut", "malformed", "empty", "endless")
STALL_S = 0.4


class FaultyServer(ThreadingHTTPServer):
    """Counts what it was asked and what it answered well, by prompt."""

    daemon_threads = False
    request_queue_size = 256

    def __init__(
        self,
        fault: str = "",
        tries: int = 1,
        only: str = "",
        delay_s: float = 0.0,
        window: tuple[float, float] | None = None,
    ):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault, self.tries, self.only, self.delay_s = fault, tries, only, delay_s
        self.window, self.first_at = window, 0.0
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        #: Every Authorization header that came; None for none.
        self.keys: set[str | None] = set()
        self.under_way = self.most_under_way = 0
        self.gone = False
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def fault_of(self, prompt: str, nth: int) -> str:
        """What the nth try of a prompt meets now."""
        if self.window is not None:
            since = time.monotonic() - self.first_at
            return self.fault if self.window[0] <= since < self.window[1] else ""
        return self.fault if nth <= self.tries and self.only in prompt else ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: FaultyServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 5.0  # of a connection that nobody uses

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.server.keys.add(self.headers.get("Authorization"))
        self.reply(200, {"data": [{"id": "adder", "max_model_len": 128}]})

    def do_POST(self) -> None:
        server = self.server
        server.keys.add(self.headers.get("Authorization"))
        if server.gone:
            self.drop()
            return
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        with server.lock:
            server.bodies.append(body)
            server.first_at = server.first_at or time.monotonic()
            server.asked[prompt] += 1
            nth = server.asked[prompt]
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            time.sleep(server.delay_s)
            fault = server.fault_of(prompt, nth)
            if fault and getattr(self, fault)():
                return
            with server.lock:
                server.answered[prompt] += 1
            self.reply(200, answer(prompt, chat="messages" in body))
        finally:
            with server.lock:
                server.under_way -= 1

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    # Each fault ends the request (True) or lets it be answered after all (False).
    def drop(self) -> bool:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
        return True

    def stall(self) -> bool:
        time.sleep(STALL_S)
        return self.drop()

    def burst(self) -> bool:
        self.reply(429, {"error": "slow down"}, {"Retry-After": "0.05"})
        return True

    def broken(self) -> bool:
        self.reply(500, {"error": "boom"})
        return True

    def cut(self) -> bool:
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b'{"choices": [{"message": {"content": "4')
        return self.drop()

    def endless(self) -> bool:
        counted = {"usage": {"prompt_tokens": float("inf"), "completion_tokens": 1}}
        self.reply(200, {**answer("1+1=", chat=True), **counted})
        return True

    def malformed(self) -> bool:
        self.reply(200, b'{"choices": [{"text": "12", "message": {"content": "12"')
        return True

    def empty(self) -> bool:
        self.reply(200, {"object": "chat.completion", "choices": []})
        return True

    def too_long(self) -> bool:
        self.reply(400, {"error": "This model's maximum context length is 128 tokens."})
        return True

    def forbidden(self) -> bool:
        self.reply(401, {"error": "bad key"})
        return True


def answer(prompt: str, *, chat: bool) -> dict[str, Any]:
    """The sum, in the shape of OpenAI's API."""
    left, right = prompt.rstrip("=").split("+")
    text = str(int(left) + int(right))
    said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(text)}
    return {"choices": [{"index": 0, "finish_reason": "stop", **said}], "usage": usage}


@contextmanager
def serving(fault: str = "", **kwargs: Any) -> Iterator[FaultyServer]:
    """A server for the length of a block."""
    server = FaultyServer(fault, **kwargs)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.gone = True
        server.shutdown()
        thread.join()
        server.server_close()
