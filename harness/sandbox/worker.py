"""One worker: a pair of zygotes, and one program at a time through them.

The candidate zygote gets prompt, completion and entry point; the checker zygote gets prompt and
test. The two meet only over a channel made for the sample. A checker is kept while programs bring
the same test, and dropped after anything but a clean verdict.

Driven by events (`on_readable`), never blocking, so that one thread can run many workers.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from . import wire
from .program import Call, Execution, Limits, Program, Source, Stdio
from .spawn import Broken, Zygote
from .verdict import merge

#: Samples that one checker process judges before it is replaced.
_CHECKER_REUSE = 200
#: Beyond the wall limit, how long a zygote may take to report before it counts as broken.
GRACE_S = 10.0
#: How long a program that hung up may take to die, to learn what it died of.
_LINGER_S = 0.02
#: Checkers live for many samples, so their CPU time is bounded by the clock instead.
_CHECKER_LIMITS = Limits(memory_bytes=4 << 30).manifest() | {"cpu_s": 1 << 20}


@dataclass(slots=True)
class _Sample:
    """The program being run, and what its two sides have said so far."""

    program: Program
    number: int
    case: int = 0
    end: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    spent: list[tuple[float, float]] = field(default_factory=list)
    deadline: float = 0.0


class Worker:
    """Two zygotes of one level. `start` a program, then feed it readable sockets."""

    def __init__(self, level: str, serial: int) -> None:
        """Start both zygotes; raises Broken."""
        self.level = level
        self._candidates = Zygote(level, "candidate", 2 * serial)
        try:
            self._checkers = Zygote(level, "checker", 2 * serial + 1)
        except BaseException:
            self._candidates.close()
            raise
        self._checker: socket.socket | None = None
        self._checker_key: object = None
        self._checker_job = 0
        self._checker_uses = 0
        self._serial = 0
        self._sample: _Sample | None = None

    def start(self, program: Program) -> None:
        """Begin one program; the worker must be idle. Raises Broken."""
        assert self._sample is None
        self._sample = _Sample(program, 0)
        self._start_case(self._sample)

    def sockets(self) -> list[socket.socket]:
        """What to wait on."""
        found = [self._candidates.control, self._checkers.control]
        return [*found, self._checker] if self._checker is not None else found

    @property
    def deadline(self) -> float:
        """When (time.monotonic) a report is overdue; infinite when idle."""
        return self._sample.deadline if self._sample else float("inf")

    def on_readable(self, sock: socket.socket) -> Execution | None:
        """Take one message; the execution when the program is done. Raises Broken."""
        if sock is self._candidates.control:
            return self._on_end(self._candidates.receive())
        if sock is self._checkers.control:
            self._on_checker_end(self._checkers.receive())
            return None
        return self._on_verdict(sock)

    def close(self) -> None:
        """End both zygotes and all below them."""
        if self._checker is not None:
            self._checker.close()
        self._candidates.close()
        self._checkers.close()

    def _start_case(self, sample: _Sample) -> None:
        program, limits = sample.program, sample.program.limits
        self._serial += 1
        sample.number, sample.end, sample.verdict = self._serial, None, None
        sample.deadline = time.monotonic() + limits.wall_s + GRACE_S
        nonce = secrets.token_hex(16)
        common = {"job": sample.number, "wall_s": limits.wall_s}
        ours, theirs = socket.socketpair()
        with ours, theirs, _spec_file(_candidate_spec(program, nonce)) as spec:
            judge = common | {"case": sample.case, "nonce": nonce}
            self._ask_checker(program, judge, ours.fileno())
            run = common | {"limits": _manifest(limits), "fork": program.allow_fork}
            self._candidates.send(run, [theirs.fileno(), spec])

    def _ask_checker(self, program: Program, job: dict[str, Any], channel: int) -> None:
        """Send the checker a sample, and with it the test unless it has it already."""
        if self._checker is not None and self._checker_uses >= _CHECKER_REUSE:
            self._drop_checker()
        checker = self._checker or self._new_checker()
        key = (program.prompt, program.check, program.entry_point, program.limits)
        try:
            if key == self._checker_key:
                wire.send(checker, job, [channel])
            else:
                with _spec_file(_checker_spec(program)) as spec:
                    wire.send(checker, job, [channel, spec])
        except wire.Closed as error:
            raise Broken("the checker is gone") from error
        self._checker_key = key
        self._checker_uses += 1

    def _new_checker(self) -> socket.socket:
        self._checker, theirs = socket.socketpair()
        self._checker_key, self._checker_uses = None, 0
        self._checker_job += 1
        run = {"job": self._checker_job, "wall_s": None, "limits": _CHECKER_LIMITS, "fork": False}
        with theirs:
            self._checkers.send(run, [theirs.fileno()])
        return self._checker

    def _drop_checker(self) -> None:
        if self._checker is not None:
            self._checker.close()
            self._checker = None
            self._checkers.send({"stop": self._checker_job})

    def _on_verdict(self, checker: socket.socket) -> Execution | None:
        sample = self._sample
        try:
            verdict, _ = wire.receive(checker)
        except wire.Closed as error:
            self._drop_checker()
            if sample is not None and sample.verdict is None:
                raise Broken("the test's process died") from error
            return None
        if sample is None or verdict["job"] != sample.number:
            raise Broken("the checker spoke out of turn")
        sample.verdict = verdict
        if isinstance(sample.program.check, Call) and sample.end is None:
            # The rest is waited for: a script must also end well by itself.
            linger = _LINGER_S if verdict["outcome"] == "gone" else 0
            self._candidates.send({"stop": sample.number, "linger_s": linger})
        return self._next(sample)

    def _on_end(self, end: dict[str, Any]) -> Execution | None:
        sample = self._sample
        if sample is None or end["job"] != sample.number:
            raise Broken("the candidates' fork server spoke out of turn")
        if end["end"] == "broken":
            raise Broken(str(end["note"]), before_program=True)
        sample.end = end
        if end["end"] in ("timeout", "disk") and sample.verdict is None:
            self._drop_checker()  # it may be busy with what the program sent
            sample.verdict = {"outcome": "failed", "detail": "", "cpu_s": 0.0}
        return self._next(sample)

    def _on_checker_end(self, end: dict[str, Any]) -> None:
        """A checker may end between samples, when told to; within one it is a failure."""
        if end["end"] == "broken":
            raise Broken(str(end["note"]), before_program=True)
        if end["job"] == self._checker_job and self._checker is not None:
            self._checker.close()
            self._checker = None
            if self._sample is not None and self._sample.verdict is None:
                raise Broken("the test's process died")

    def _next(self, sample: _Sample) -> Execution | None:
        """The execution, once both sides have spoken about the last case that matters."""
        if sample.end is None or sample.verdict is None:
            return None
        outcome, detail = merge(sample.program, sample.end, sample.verdict)
        sample.spent.append((sample.end["wall_s"], sample.end["cpu_s"] + sample.verdict["cpu_s"]))
        check = sample.program.check
        if outcome == "passed" and isinstance(check, Stdio) and sample.case + 1 < len(check.cases):
            sample.case += 1
            self._start_case(sample)
            return None
        self._sample = None
        return Execution(
            outcome=outcome,
            integrity=sample.program.integrity,
            level=self.level,
            wall_s=sum(wall for wall, _ in sample.spent),
            cpu_s=sum(cpu for _, cpu in sample.spent),
            detail=detail,
        )


@contextmanager
def _spec_file(spec: dict[str, Any]) -> Iterator[int]:
    fd = wire.spec_file(spec)
    try:
        yield fd
    finally:
        os.close(fd)


@cache
def _manifest(limits: Limits) -> dict[str, float]:
    return limits.manifest()


def _candidate_spec(program: Program, nonce: str) -> dict[str, Any]:
    """All that a candidate's process is ever given."""
    source, limits = program.prompt + program.completion, program.limits
    common = {"source": source, "fork": program.allow_fork}
    match program.check:
        case Call():
            caps = {"cap": limits.frame_bytes, "depth": limits.depth}
            return common | {"kind": "call", "entry": program.entry_point, **caps}
        case Stdio():
            return common | {"kind": "stdio"}
        case Source(test):
            return common | {"kind": "source", "source": f"{source}\n{test}", "nonce": nonce}


def _checker_spec(program: Program) -> dict[str, Any]:
    limits = program.limits
    match program.check:
        case Call(test):
            return {
                "kind": "call",
                "prompt": program.prompt,
                "test": test,
                "entry": program.entry_point,
                "cap": limits.frame_bytes,
                "depth": limits.depth,
            }
        case Stdio(cases):
            return {"kind": "stdio", "cases": cases, "output_bytes": limits.output_bytes}
        case Source():
            return {"kind": "source"}
