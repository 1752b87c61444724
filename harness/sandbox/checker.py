"""Where verdicts are made: a process that holds the test and never the program.

Sample after sample it is given one end of a channel to that sample's process, and a test whenever
it is another than the last one. A pass is said only when the test reached its own end after at
least one call, over a channel that was never broken. Each sample gets the test's names and the
builtins afresh, so that no sample sees what another's test run left in them.
Runs inside the sandbox, in a tree of its own; standard library only.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from types import CodeType
from typing import Any

from . import wire
from .calls import Endpoint, Gone

_TEXT = 500
#: The supervisor ends a late checker; this ends one whose supervisor is not looking.
_GRACE_S = 1.0
Verdict = tuple[str, str]
"""(outcome, detail). Outcomes: `passed failed limit`, `gone` where the candidate left before the end
or broke the protocol, `bad_test` where the test itself is at fault."""
Judge = Callable[[int, dict[str, Any]], Verdict]


def main(control_fd: int) -> None:
    """Judge samples until the supervisor hangs up; the first brings a test."""
    control = socket.socket(fileno=control_fd)
    judge: Judge = _no_test
    while True:
        try:
            job, (channel, *specs) = wire.receive(control)
        except wire.Closed:
            return
        if specs:
            judge = _judge(wire.read_spec(specs[0]))
        started = time.process_time()
        outcome, detail = _timed(judge, channel, job)
        cpu_s = time.process_time() - started
        said = {"outcome": outcome, "detail": detail[:_TEXT], "cpu_s": cpu_s}
        wire.send(control, {"job": job["job"], **said})


def _no_test(_channel: int, _job: dict[str, Any]) -> Verdict:
    return "bad_test", "the checker was given no test"


def _timed(judge: Judge, channel: int, job: dict[str, Any]) -> Verdict:
    signal.setitimer(signal.ITIMER_REAL, job["wall_s"] + _GRACE_S)
    try:
        return judge(channel, job)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.close(channel)


@contextlib.contextmanager
def _own_builtins() -> Iterator[None]:
    """Undo what a test does to builtins and the recursion limit, for the tests after it."""
    names, limit, set_limit = vars(builtins), sys.getrecursionlimit(), sys.setrecursionlimit
    pristine = names.copy()
    try:
        yield
    finally:
        names.clear()
        names.update(pristine)
        set_limit(limit)


def _judge(spec: dict[str, Any]) -> Judge:
    kinds = {"call": _call_judge, "stdio": _stdio_judge, "source": _source_judge}
    return kinds[spec["kind"]](spec)


def _call_judge(spec: dict[str, Any]) -> Judge:
    """Run `check(candidate)` with a proxy for the candidate."""
    prompt = _prefix(spec["prompt"])
    try:
        test = compile(spec["test"], "<test>", "exec")
    except (SyntaxError, ValueError) as error:
        reason = f"the test does not compile: {error}"
        return lambda _channel, _job: ("bad_test", reason)
    entry = spec["entry"]

    def judge(channel: int, _job: dict[str, Any]) -> Verdict:
        names: dict[str, Any] = {"__name__": "test"}
        endpoint = Endpoint(channel, spec["cap"], spec["depth"], names)
        calls = 0

        def candidate(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return endpoint.call(0, args, kwargs)

        try:
            with _own_builtins():
                exec(prompt, names)
                exec(test, names)
                if entry.isidentifier():
                    names[entry] = candidate
                names["check"](candidate)
        except Gone as gone:
            return gone.outcome, str(gone)
        except BaseException as error:
            return _failure(error, endpoint)
        return _passed(calls, endpoint)

    return judge


def _passed(calls: int, endpoint: Endpoint) -> Verdict:
    if endpoint.gone is not None:
        return endpoint.gone.outcome, str(endpoint.gone)
    if calls == 0:
        return "bad_test", "the test ended without calling the candidate"
    return "passed", ""


def _failure(error: BaseException, endpoint: Endpoint) -> Verdict:
    if endpoint.gone is not None:
        return endpoint.gone.outcome, str(endpoint.gone)
    kind = "limit" if isinstance(error, MemoryError) else "failed"
    text = "<no message>"
    with contextlib.suppress(Exception):  # a message may be made of hostile values
        text = str(error)
    return kind, f"{type(error).__name__}: {text[:_TEXT]}"


def _prefix(prompt: str) -> CodeType:
    """The longest part of the prompt that is a program by itself: its imports and helpers.

    A prompt ends inside the function to be written, often after its docstring, where it compiles
    as it is; otherwise an empty body is tried, and then lines are dropped from the end.
    """
    lines = prompt.splitlines()
    for end in range(len(lines), 0, -1):
        text = "\n".join(lines[:end])
        indent = len(lines[end - 1]) - len(lines[end - 1].lstrip()) + 4
        for attempt in (text, f"{text}\n{' ' * indent}pass\n"):
            with contextlib.suppress(SyntaxError, ValueError):
                return compile(attempt, "<prompt>", "exec")
    return compile("", "<prompt>", "exec")


def _stdio_judge(spec: dict[str, Any]) -> Judge:
    """Feed a case's input to the program and compare what it prints."""
    cases, cap = spec["cases"], spec["output_bytes"]

    def judge(channel: int, job: dict[str, Any]) -> Verdict:
        given, wanted = cases[job["case"]]
        printed = _converse(channel, given.encode("utf-8", "surrogateescape"), cap)
        if len(printed) > cap:
            return "limit", f"more than {cap} bytes of output"
        if same_output(printed.decode("utf-8", "replace"), wanted):
            return "passed", ""
        return "failed", f"wrong output in case {job['case']}"

    return judge


def _converse(channel: int, given: bytes, cap: int) -> bytes:
    """Write `given`, then half-close; read to the end or just past `cap`, whichever is first."""
    import threading  # costs every forked child, so only where it is used

    printed = bytearray()
    with socket.socket(fileno=os.dup(channel)) as sock:
        feeder = threading.Thread(target=_feed, args=(sock, given), daemon=True)
        feeder.start()
        with contextlib.suppress(ConnectionError):
            while len(printed) <= cap and (part := sock.recv(1 << 16)):
                printed += part
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        feeder.join()
    return bytes(printed)


def _feed(sock: socket.socket, given: bytes) -> None:
    with contextlib.suppress(OSError):  # a program need not read its input
        sock.sendall(given)
        sock.shutdown(socket.SHUT_WR)


def same_output(printed: str, wanted: str) -> bool:
    """LiveCodeBench's comparison: lengths first, then lines as text or as decimal numbers."""
    left, right = _lines(printed), _lines(wanted)
    return len(left) == len(right) and all(map(_same_line, left, right))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(left: str, right: str) -> bool:
    if left == right:
        return True
    try:
        return list(map(Decimal, left.split())) == list(map(Decimal, right.split()))
    except InvalidOperation:
        return False


def _source_judge(_spec: dict[str, Any]) -> Judge:
    """Shared mode: the program's own process says that the test ended, by a random word."""

    def judge(channel: int, job: dict[str, Any]) -> Verdict:
        nonce = job["nonce"].encode()
        said = _converse(channel, b"", len(nonce))
        return ("passed", "") if said == nonce else ("failed", "the test did not reach its end")

    return judge
