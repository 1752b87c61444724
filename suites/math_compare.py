"""Whether pairs of formulas are equal, asked of sympy in helper processes that can be killed.

A helper starts when first needed (about half a second), is kept for the next question, and is replaced
when it dies. Verdicts are remembered, since samples of one problem repeat answers. Nothing is forked:
helpers are fresh interpreters (math_sympy.py). Not here: normalization of answers (math_answers.py).
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal, TypeAlias, cast

from ..harness.errors import InstrumentError

Verdict: TypeAlias = Literal["equal", "different", "timeout", "limit"]

#: Processor seconds for all pairs of one question; the reference gives up after 10 s on the wall clock.
CPU_SECONDS = 5.0
#: Bytes of address space of a helper; sympy itself needs a fifth.
MEMORY = 1 << 30
#: Signs of a formula that is compared; longer ones are not shown to be equal.
LONGEST = 2000
#: Wall seconds after which a helper that has not used up its processor time counts as broken.
PATIENCE = 60.0
#: Questions after which a helper retires, before sympy's caches count as the answer's memory.
QUESTIONS = 2000

#: What no formula has but a Python expression may: texts, escapes, attributes, Roman numeral letters.
_FOREIGN = re.compile(r"['\"`\\\u2160-\u2188]")
_NUMBER_DOT = re.compile(r"(?<![\w.])[0-9]+\.")
_ATTRIBUTE = re.compile(r"\.\s*[^\W\d]")
_FATAL = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS}


@functools.lru_cache(maxsize=16384)
def compare(pairs: tuple[tuple[str, str], ...]) -> Verdict:
    """Whether sympy simplifies the difference of each pair to 0.

    `timeout`: more processor time than CPU_SECONDS for all pairs together; `limit`: a formula
    too long, or more memory than a helper has.

    Raises:
        InstrumentError: helpers cannot be started, or do not answer.
    """
    differences = [f"({a})-({b})".replace("^", "**") for a, b in pairs]
    if any(_foreign(formula) for formula in differences):
        return "different"
    if any(len(formula) > 2 * LONGEST for formula in differences):
        return "limit"
    helper = _borrow()
    verdict = helper.ask(differences)
    if verdict == "limit" and helper.asked > 1:  # its memory was not all this question's
        helper.close()
        helper = _Helper()
        verdict = helper.ask(differences)
    if verdict in ("equal", "different") and helper.asked < QUESTIONS:
        _idle.append(helper)
    else:
        helper.close()
    return verdict


def _foreign(formula: str) -> bool:
    return bool(
        _FOREIGN.search(formula)
        or ("." in formula and _ATTRIBUTE.search(_NUMBER_DOT.sub("0 ", formula)))
    )


class _Helper:
    """One helper process."""

    def __init__(self) -> None:
        self.asked = 0
        self.owner = os.getpid()
        above = str(Path(__file__).absolute().parents[2])
        program = (
            f"import sys; sys.path.append({above!r}); "
            f"from {__package__}.math_sympy import main; main({CPU_SECONDS}, {MEMORY})"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if (said := self._line()) != "ready":
            self.close()
            raise InstrumentError(
                f"The sympy helper did not start (it said {said!r}); check `python -c 'import sympy'`."
            )

    def ask(self, differences: Sequence[str]) -> Verdict:
        """The verdict on one list.

        Raises:
            InstrumentError: no answer although processor time is left, or killed from outside.
        """
        self.asked += 1
        pipe = cast(IO[bytes], self.process.stdin)
        try:
            pipe.write(json.dumps(differences).encode() + b"\n")
            pipe.flush()
        except OSError:
            pass  # it is dead; the empty answer says so
        if said := self._line():
            return cast(Verdict, said)
        self.close()
        code = self.process.returncode
        if code == -signal.SIGPROF:
            return "timeout"
        if code in _FATAL:
            return "limit"
        raise InstrumentError(
            f"The sympy helper ended with status {code} instead of answering; score the answers again."
        )

    def _line(self) -> str:
        """The next line it says; empty when it ended or did not speak in time."""
        pipe = cast(IO[bytes], self.process.stdout)
        said, end = b"", time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as waiting:
            waiting.register(pipe, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                if not waiting.select(end - time.monotonic()):
                    return ""
                if not (more := os.read(pipe.fileno(), 100)):
                    return ""
                said += more
        return said.decode().strip()

    def close(self) -> None:
        """Kill it, unless it is gone already."""
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                cast(IO[bytes], pipe).close()
            except OSError:
                pass  # what was unsent is of no interest
        if self.owner != os.getpid():
            self.process.returncode = 0  # another process's child; that one waits for it
        else:
            try:
                self.process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


_idle: list[_Helper] = []


def _borrow() -> _Helper:
    while _idle:
        helper = _idle.pop()
        if helper.owner == os.getpid() and helper.process.poll() is None:
            return helper
        helper.close()
    return _Helper()


@atexit.register
def close() -> None:
    """End all idle helpers."""
    while _idle:
        _idle.pop().close()
