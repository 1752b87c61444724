"""Runs an external program to its end: its own process group, log in a file, limits, signals passed on.

Nothing goes through a shell. Ctrl-C and SIGTERM reach the whole group, which then has a while to end by
itself before it is killed. Not here: what the program is for (engine.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..harness.errors import InstrumentError, Interrupted, UsageError

#: Seconds between two looks at a running program.
TICK = 0.1
#: "12/300", as progress bars write it.
COUNT = re.compile(rb"(\d+)\s*/\s*(\d+)")
#: Characters of a program's last line that an error repeats.
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a program may take."""

    total_s: float | None
    silent_s: float | None
    """Without a word in its log."""
    grace_s: float
    """Between asking it to end and killing it."""


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path | None,
    log: Path,
    limits: Limits,
    progress: Callable[[int, int], None],
    held: Sequence[int] = (),
) -> float:
    """Run a program until it ends well; returns its seconds.

    Args:
        environment: added to this process's own.
        folder: where it runs; None is here.
        log: file for all it says; what an earlier run said is kept above.
        progress: told of every "done/total" that it says last.
        held: file descriptors that it keeps open while it runs.

    Raises:
        UsageError: there is no such program.
        InstrumentError: it failed, said nothing for too long, or took too long.
        Interrupted: this process was asked to end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with log.open("ab") as said:
        try:
            process = subprocess.Popen(
                list(command),
                env={**os.environ, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(held),
            )
        except (OSError, ValueError) as error:
            raise UsageError(
                f"The program '{command[0]}' cannot be started ({error}); check the command."
            ) from error
    with _passed_on(process) as asked:
        why = _watch(process, log, limits, progress, asked)
    seconds = time.monotonic() - begun
    if asked:
        raise Interrupted(
            f"The program was stopped after {seconds:.0f} s by {signal.Signals(asked[0]).name}; give the "
            "same command to go on."
        )
    if why or process.returncode:
        raise InstrumentError(
            f"The program '{command[0]}' {why or _ended(process.returncode)} after {seconds:.0f} s; its "
            f"last line was '{last_line(log)}', the rest is in '{log}'."
        )
    return seconds


def _watch(
    process: subprocess.Popen[bytes],
    log: Path,
    limits: Limits,
    progress: Callable[[int, int], None],
    asked: Sequence[int],
) -> str | None:
    """Wait for the end; returns why it had to be ended, if it had."""
    begun = spoke = time.monotonic()
    size = log.stat().st_size
    while process.poll() is None:
        time.sleep(TICK)
        now = time.monotonic()
        if asked:
            _end(process, limits.grace_s)
            return None
        grown = log.stat().st_size
        if grown != size:
            size, spoke = grown, now
            if counts := COUNT.findall(_tail(log)):
                progress(int(counts[-1][0]), int(counts[-1][1]))
        if limits.total_s is not None and now - begun > limits.total_s:
            _end(process, limits.grace_s)
            return f"was ended at its limit of {limits.total_s:g} s,"
        if limits.silent_s is not None and now - spoke > limits.silent_s:
            _end(process, limits.grace_s)
            return f"was ended after {limits.silent_s:g} s without a word,"
    _signal(process, signal.SIGKILL)  # what it may have left behind in its group
    return None


def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ask the group to end, then kill it."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Hand SIGINT and SIGTERM to the program's group; yields those that came.

    Only the main thread can; in another, signals go where they always went.
    """
    came: list[int] = []

    def hand(number: int, _frame: Any) -> None:
        came.append(number)
        _signal(process, number)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, hand) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def last_line(log: Path) -> str:
    """The last line that says anything, without control characters."""
    text = _tail(log).decode("utf-8", "replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    kept = [line for line in lines if line]
    shown = "".join(c for c in kept[-1] if c.isprintable()) if kept else "nothing"
    return shown[:_SHOWN]


def _tail(log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read()
