"""The helper process that asks sympy whether differences vanish; math_compare.py starts it.

One line in, one line out: a JSON list of differences, then `equal`, `different` or `limit`. sympy reads a
formula by evaluating Python, so formulas come filtered (math_compare.py) and this process can take at
most so much processor time for one list, so much memory, and write no file. A list that takes longer
ends the process: the caller sees that and starts another.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any


def main(cpu_seconds: float, memory: int) -> None:
    """Answer until the input ends.

    Args:
        cpu_seconds: processor time for one list of differences.
        memory: bytes of address space.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever sympy prints is not an answer
    from sympy import simplify
    from sympy.parsing import sympy_parser as parser

    rules = (*parser.standard_transformations, parser.implicit_multiplication_application)

    def vanishes(formula: str) -> bool:
        try:
            difference: Any = simplify(parser.parse_expr(formula, transformations=rules))
            return bool(difference == 0)
        except MemoryError:
            raise
        except Exception:  # whatever sympy cannot read or simplify is not shown to be 0
            return False

    _limit(memory)
    replies.write("ready\n")
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            answer = "equal" if all(map(vanishes, json.loads(line))) else "different"
        except MemoryError:
            answer = "limit"
        signal.setitimer(signal.ITIMER_PROF, 0)
        replies.write(f"{answer}\n")


def _limit(memory: int) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # a system without this limit; the timer remains
            continue
