"""GSM8K: grade-school word problems, graded on the final number (Cobbe et al., 2021, arXiv:2110.14168).

Three ways to read the final number, all pure functions: `strict_answer` (lm-eval's strict-match, the
headline), `flexible_answer` (lm-eval's flexible-extract) and `openai_answer` (the authors'). None
compares values: "18.0" is not "18", as in the references.
"""

from __future__ import annotations

import re

_MARKED = re.compile(r"#### (-?[0-9.,]+)")
_NUMBER = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")


def strict_answer(text: str) -> str | None:
    """The number after the first `#### `, without `,`, `$` and one final `.`; None where there is none."""
    found = _MARKED.search(text)
    return _normalized(found[1]) if found else None


def flexible_answer(text: str) -> str | None:
    """The last thing that looks like a number, normalized as in `strict_answer`; None where there is none."""
    last = None
    for last in _NUMBER.finditer(text):  # noqa: B007 - the loop is there for its last match
        pass
    return _normalized(last[0]) if last else None


def openai_answer(text: str) -> str | None:
    """The number after the first `#### `, without `,` alone; None where there is none."""
    found = _MARKED.search(text)
    return found[1].strip().replace(",", "") if found else None


def _normalized(number: str) -> str:
    return number.replace(",", "").replace("$", "").removesuffix(".")
