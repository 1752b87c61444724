"""What a suite makes of a program that ran in the sandbox: code out of an answer, a score out of a result.

Not here: running anything. Every program goes through an `Execute` request.
"""

from __future__ import annotations

import re

from ..harness.records import Conversation, Execute, Score
from ..harness.sandbox.program import Execution, Program

_FENCE = re.compile(r"```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")


def code_block(text: str) -> str:
    """The first fenced block marked as Python, else the first fenced block, else the whole text."""
    blocks = _FENCE.findall(text)
    marked = [code for language, code in blocks if language.lower() in ("python", "py", "python3")]
    return next(iter([*marked, *(code for _, code in blocks)]), text).removesuffix("\n")


def execute(program: Program) -> Conversation:
    """Ask the sandbox to run one program, and score what happened."""
    execution = yield Execute(program)
    return execution_score(execution, program.completion)


def execution_score(execution: Execution, code: str) -> Score:
    """1 for a pass, else 0 with the outcome as the reason.

    Times stay in the journal: a score must not depend on how busy the machine was. Memory addresses
    in error texts are blanked for the same reason.
    """
    detail = {
        "integrity": execution.integrity,
        "level": execution.level,
        "said": _ADDRESS.sub("0x...", execution.detail)[:500],
    }
    reason = None if execution.passed else execution.outcome
    return Score(float(execution.passed), reason, extracted=code, detail=detail)
