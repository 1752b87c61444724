"""One outcome from what two processes said: the zygote how the program ended, the checker whether
its test did.

Pure. A pass needs the checker's word and no limit hit; how the program ended can only take it
away, never give it.
"""

from __future__ import annotations

import signal
from typing import Any

from .program import Call, Outcome, Program


def merge(program: Program, end: dict[str, Any], verdict: dict[str, Any]) -> tuple[Outcome, str]:
    """Outcome and detail of one run; `end` and `verdict` as zygote.py and checker.py send them."""
    limits, said = program.limits, str(verdict["detail"])
    by_itself = end["end"] == "exit"
    if end["end"] == "timeout":
        return "timeout", f"stopped after {limits.wall_s:g} s ({end['cpu_s']:.2f} s of CPU)"
    if end["end"] == "disk":
        return "limit", f"more than {limits.disk_bytes} bytes or {limits.inodes} files written"
    if verdict["outcome"] == "bad_test":
        return "sandbox_error", said
    if by_itself and end["signal"] and _over_cpu(program, end):
        return "timeout", f"used more than {limits.cpu_s} s of CPU"
    if verdict["outcome"] == "limit" or said.startswith("MemoryError"):
        return "limit", said
    if verdict["outcome"] == "passed":
        return _after_pass(program, end)
    if by_itself and end["signal"]:
        return "crashed", f"ended by {_name(end['signal'])}"
    return "failed", said


def _after_pass(program: Program, end: dict[str, Any]) -> tuple[Outcome, str]:
    """A script must also have ended well by itself; a called function need not."""
    if isinstance(program.check, Call) or end["end"] != "exit":
        return "passed", ""
    if end["signal"]:
        return "crashed", f"ended by {_name(end['signal'])}"
    return ("failed", f"exit status {end['code']}") if end["code"] else ("passed", "")


def _over_cpu(program: Program, end: dict[str, Any]) -> bool:
    killed = bool(end["signal"] == signal.SIGKILL and end["cpu_s"] >= program.limits.cpu_s)
    return killed or bool(end["signal"] == signal.SIGXCPU)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
