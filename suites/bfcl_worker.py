"""BFCL's simulators in a process of their own, with a limit of time and memory a request.

A call can hang a simulator (a power of huge numbers, a folder moved into itself), and Python cannot stop
a thread. So the simulators answer on a pipe, one JSON line a request: `play` gives the answers to the last
step after everything before it, `check` the verdict, `memory` what a memory holds. They depend on their
request alone; the child keeps the worlds it played last, so that going on from one costs one step. A
child that is too late is killed, and the next request starts another.
`python -m waterbed.suites.bfcl_worker` is the child. Not here: the simulators (bfcl_simulators.py).
"""

from __future__ import annotations

import json
import math
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..harness.errors import InstrumentError
from ..harness.records import canonical_json
from .bfcl_simulators import Memory, Scene, World, check
from .function_calls import Finding

#: Longest wait for an answer, in seconds, and the child's address space, in bytes.
LIMIT_S, LIMIT_BYTES = 5.0, 2 << 30
#: Longest wait for a child to start.
START_S = 60.0
#: Longest answer of all calls of a step together, in characters.
LONGEST = 1_000_000
#: Worlds that a child keeps.
KEPT = 64

#: Steps played so far, each a list of calls.
Steps = Sequence[Sequence[str]]


class Overrun(Exception):
    """A request took too long, filled the memory or said too much."""


class Simulators:
    """Asks a child process, started when needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.child: subprocess.Popen[bytes] | None = None
        self.buffer = b""

    def play(self, scene: Scene, steps: Steps) -> list[str]:
        """What the calls of the last step answer.

        Raises:
            Overrun: a limit was hit.
            InstrumentError: the child cannot start, or failed by itself.
        """
        answers: list[str] = self._ask({"play": asdict(scene), "steps": steps})
        return answers

    def memory(self, scene: Scene, steps: Steps) -> Memory:
        """What the memory of a conversation holds after these steps; raises as `play`."""
        return Memory(**self._ask({"memory": asdict(scene), "steps": steps}))

    def check(self, scene: Scene, turns: Sequence[Steps], gold: Steps) -> Finding:
        """The verdict on a whole conversation; see `bfcl_simulators.check`, raises as `play`."""
        return Finding(self._ask({"check": asdict(scene), "turns": turns, "gold": gold}))

    def _ask(self, request: Mapping[str, Any]) -> Any:
        with self.lock:
            try:
                child = self._started()
                reply = self._exchange(child, json.dumps(request).encode(), LIMIT_S)
            except Overrun:
                self._stop()
                raise
            except OSError as error:
                self._stop()
                raise InstrumentError(
                    f"BFCL's simulators do not answer ({error}); run the same command again, it resumes."
                ) from error
        found = json.loads(reply)
        if "failed" in found:
            raise InstrumentError(f"BFCL's simulators failed ({found['failed']}); get them again.")
        if "overrun" in found:
            raise Overrun(found["overrun"])
        return found["answer"]

    def _started(self) -> subprocess.Popen[bytes]:
        if self.child is None or self.child.poll() is not None:
            self.buffer = b""
            command = [sys.executable, "-m", "waterbed.suites.bfcl_worker"]
            self.child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            weakref.finalize(self, _end, self.child)
            try:
                self._exchange(self.child, b"null", START_S)
            except Overrun as error:
                raise OSError(f"the child did not start: {error}") from error
        return self.child

    def _exchange(self, child: subprocess.Popen[bytes], line: bytes, seconds: float) -> bytes:
        """One line there and one back.

        Raises:
            Overrun: nothing came in time, or the child died of its limits.
        """
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(line + b"\n")
        child.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                if not ready.select(seconds):
                    raise Overrun(f"no answer in {seconds:g} s")
                read = os.read(child.stdout.fileno(), 1 << 16)
                if not read:
                    raise Overrun("the simulator's process died")
                self.buffer += read
        answer, _, self.buffer = self.buffer.partition(b"\n")
        return answer

    def _stop(self) -> None:
        if self.child is not None:
            _end(self.child)
        self.child = None


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass  # what was unsent goes with the child


class _Played:
    """Worlds by what was played in them, the last ones only."""

    def __init__(self) -> None:
        self.worlds: OrderedDict[str, World] = OrderedDict()

    def last(self, scene: Scene, steps: Steps) -> list[str]:
        """The answers to the last step."""
        world = self.after(scene, steps[:-1])
        answers = world.run(steps[-1])
        self.worlds[_key(scene, steps)] = world
        if len(self.worlds) > KEPT:
            self.worlds.popitem(last=False)
        return answers

    def after(self, scene: Scene, steps: Steps) -> World:
        """The world after these steps, no longer kept here."""
        world = self.worlds.pop(_key(scene, steps), None)
        if world is None:
            world = World(scene)
            for calls in steps:
                world.run(calls)
        return world


def _key(scene: Scene, steps: Steps) -> str:
    return canonical_json([asdict(scene), steps])


def _answered(request: Any, played: _Played) -> dict[str, Any]:
    """The reply to one request."""
    if request is None:
        return {"answer": None}
    (kind,) = {"play", "check", "memory"} & set(request)
    fields = request[kind]
    scene = Scene(tuple(fields["classes"]), fields["config"], fields["long_context"])
    try:
        if kind == "check":
            return {"answer": check(scene, request["turns"], request["gold"]).error}
        if kind == "memory":
            return _bounded(asdict(played.after(scene, request["steps"]).memory()))
        return _bounded(played.last(scene, request["steps"]))
    except (MemoryError, RecursionError) as error:
        return {"overrun": type(error).__name__}


def _bounded(answer: Any) -> dict[str, Any]:
    if len(json.dumps(answer)) > LONGEST:
        return {"overrun": f"answers of more than {LONGEST} characters"}
    return {"answer": answer}


def serve() -> None:
    """Answer requests until the parent closes the pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    answers, played = os.fdopen(os.dup(1), "wb"), _Played()
    os.dup2(2, 1)  # a simulator that prints must not break the line
    for line in sys.stdin.buffer:
        signal.alarm(math.ceil(LIMIT_S) + 1)  # nobody else stops a call whose parent was killed
        try:
            reply = _answered(json.loads(line), played)
        except Exception as error:  # the parent tells what failed
            reply = {"failed": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(reply).encode() + b"\n")
        answers.flush()
        signal.alarm(0)


if __name__ == "__main__":
    serve()
