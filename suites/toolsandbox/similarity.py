"""How alike databases are by ToolSandbox's measures (Lu et al. 2024, arXiv:2408.04682, section 3.3).

A constraint asks what a database is like at one message of a conversation: its rows, or what was added,
removed or changed since another message, or that nothing was. Columns are compared by measures of their
own; a row is the geometric mean of its columns, and rows are matched one to one so that their geometric
mean is largest. Facts are from tool_sandbox/common/evaluation.py of apple/ToolSandbox @ 165848b9.

Not here: which messages constraints are checked at (milestones.py), and constraints that take
values out of a trace by a Python function, which are refused where scenarios are read.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]
#: The rows of a database at one message.
Rows: TypeAlias = Sequence[Row]

DATABASES = ("SANDBOX", "SETTING", "CONTACT", "MESSAGING", "REMINDER")
#: Characters of a message that ROUGE-L reads; a longer one is far below any similarity that matters.
LONGEST = 20_000
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Column:
    """How a column is compared."""

    measure: str
    """A key of MEASURES."""
    within: Mapping[str, float] = field(default_factory=dict)
    """Tolerances of numbers in a tool trace, by the argument's name."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What one database must be like."""

    database: str
    kind: str
    """A key of KINDS."""
    rows: Rows = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    """How columns are compared that are not compared as by default."""
    reference: int | None = None
    """Milestone whose message the database is compared with."""


#: Tolerances of numbers, by the name of the argument.
Within: TypeAlias = Mapping[str, float]


def _equal(cell: Any, wanted: Any, _: Within) -> float:
    return float(cell == wanted)


def _contained(cell: Any, wanted: Any, _: Within) -> float:
    return float(isinstance(cell, str) and isinstance(wanted, str) and wanted in cell)


def _traced(cell: Any, wanted: Any, within: Within) -> float:
    """Whether a traced call has the name, and every argument, of a wanted one."""
    choices = wanted if isinstance(wanted, list) else [wanted]
    pairs = ((trace, choice) for choice in choices for trace in cell or ())
    return float(any(_same_call(trace, choice, within) for trace, choice in pairs))


def _same_call(trace: Row, choice: Row, within: Within) -> bool:
    given = trace["arguments"]
    return trace["tool_name"] == choice["tool_name"] and all(
        name in given and _close(given[name], value, within.get(name))
        for name, value in choice["arguments"].items()
    )


def _close(value: Any, wanted: Any, within: float | None) -> bool:
    if within is None or not all(isinstance(v, int | float) for v in (value, wanted)):
        return bool(value == wanted)
    return bool(abs(value - wanted) <= within)


def rouge_l(text: str, wanted: str) -> float:
    """F measure of the longest common subsequence of stemmed words (Lin, 2004)."""
    said, target = _stems(text[:LONGEST]), _stems(wanted)
    common = _longest_common(said, target)
    return 2 * common / (len(said) + len(target)) if common else 0.0


def _stems(text: str) -> list[str]:
    return [_stem(word) if len(word) > 3 else word for word in _WORD.findall(text.lower())]


@functools.lru_cache(maxsize=10_000)
def _stem(word: str) -> str:
    return str(_stemmer().stem(word))


@functools.cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    lengths = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for at, wanted in enumerate(other, 1):
            here = lengths[at]
            lengths[at] = before + 1 if word == wanted else max(here, lengths[at - 1])
            before = here
    return lengths[-1]


def _alike(cell: Any, wanted: Any, _: Within) -> float:
    return rouge_l(cell, wanted) if isinstance(cell, str) and isinstance(wanted, str) else 0.0


MEASURES: Mapping[str, Callable[[Any, Any, Within], float]] = {
    "column_exact_match_similarity": _equal,
    "column_one_similarity": lambda _cell, _wanted, _within: 1.0,
    "column_contains_similarity": _contained,
    "column_rouge_l_similarity": _alike,
    "column_tool_trace_exact_match_similarity": _traced,
}
#: Columns that are not compared for equality by default.
_DEFAULTS: Mapping[str, Column] = {
    "content": Column("column_rouge_l_similarity"),
    "relationship": Column("column_rouge_l_similarity"),
    "tool_trace": Column("column_tool_trace_exact_match_similarity"),
    **dict.fromkeys(
        ("openai_tool_call_id", "openai_function_name", "tool_call_exception"),
        Column("column_one_similarity"),
    ),
}
_EQUAL = Column("column_exact_match_similarity")


def _snapshot(rows: Rows, _: Rows, constraint: Constraint) -> float:
    """Similarity of all rows, each matched with one wanted row so that their product is largest."""
    if len(rows) != len(constraint.rows):
        return 0.0
    if not rows:
        return 1.0
    from scipy.optimize import linear_sum_assignment

    costs = [[_cost(row, wanted, constraint) for row in rows] for wanted in constraint.rows]
    try:
        own, other = linear_sum_assignment(costs)
    except ValueError:  # no assignment without a zero
        return 0.0
    return math.exp(-sum(costs[i][j] for i, j in zip(own, other, strict=True)) / len(rows))


def _cost(row: Row, wanted: Row, constraint: Constraint) -> float:
    """Minus the logarithm of the geometric mean of the columns."""
    total = 0.0
    for name, value in wanted.items():
        column = constraint.columns.get(name) or _DEFAULTS.get(name, _EQUAL)
        found = name in row and MEASURES[column.measure](row[name], value, column.within)
        if not found:
            return math.inf
        total -= math.log(found)
    return total / len(wanted)


def _addition(rows: Rows, reference: Rows, constraint: Constraint) -> float:
    if not all(row in rows for row in reference):
        return 0.0
    return _snapshot([row for row in rows if row not in reference], (), constraint)


def _removal(rows: Rows, reference: Rows, constraint: Constraint) -> float:
    return _addition(reference, rows, constraint)


def _update(rows: Rows, reference: Rows, constraint: Constraint) -> float:
    if len(rows) != len(reference):
        return 0.0
    return _snapshot([row for row in rows if row not in reference], (), constraint)


def _guardrail(rows: Rows, reference: Rows, _: Constraint) -> float:
    return float(list(rows) == list(reference))


GUARDRAIL = "guardrail_similarity"
KINDS: Mapping[str, Callable[[Rows, Rows, Constraint], float]] = {
    "snapshot_similarity": _snapshot,
    "addition_similarity": _addition,
    "removal_similarity": _removal,
    "update_similarity": _update,
    GUARDRAIL: _guardrail,
}
