"""LiveCodeBench, code generation: contest problems by date, all tests hidden and shown must pass (Jain et al.,
2024, arXiv:2403.07974).

A problem is a function to write (LeetCode: called with one JSON value a line) or a script (standard input to
standard output). Every test is a run of its own under a limit of 6 s, in the sandbox; the first that
fails ends it. The code is what stands between the last two lines with a fence.

Because contest dates are known, problems can be kept out that a model may have trained on: the suite
`livecodebench@2024-08-01..2025-01-31` has those of a window, both days included, and either day may be
left out; `livecodebench` takes all there are. Accuracy by month is among the extra figures.

Differences from the authors' runner: a script runs as a script instead of as a function, and a fresh
process and object serve each test. Data: test*.jsonl (or Parquet) of code_generation_lite in
WATERBED_DATA/livecodebench, or --items. A sample's id is its question_id.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ..harness.errors import DataError, UsageError
from ..harness.records import (
    Conversation,
    Execute,
    Generation,
    GenerationSettings,
    Message,
    Prompt,
    Sample,
    Score,
)
from ..harness.sandbox.program import Call, Limits, Program, Stdio
from ..harness.tasks import Card, Metric, task
from .item_files import Row, find_files, read_items, text_of
from .packed_tests import unpack_tests
from .programs import execution_score

LIMITS = Limits(wall_s=6.0, memory_bytes=4 << 30)
_PLAIN = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random"),
    *("statistics", "itertools", "functools", "operator", "io", "sys", "json"),
)
#: What the authors put before every program (lcb_runner/evaluation/testing_util.py).
PREAMBLE = (
    "".join(f"from {name} import *\n" for name in (*_PLAIN, "builtins", "typing"))
    + "".join(f"import {name}\n" for name in _PLAIN)
    + "sys.setrecursionlimit(50000)\n\n"
)
_SYSTEM = (
    "You are an expert Python programmer. You will be given a question (problem specification) and "
    "will generate a correct Python program that matches the specification and passes all tests. You "
    "will NOT return anything except for the program."
)
_WITH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your "
    "code within delimiters."
)
_WITH_STDIN = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test "
    "on the sample inputs). Enclose your code within delimiters as follows."
)


def last_block(text: str) -> str:
    """The lines between the last two that hold a fence; empty where fewer than two do."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


def programs(code: str, function: str, tests: Sequence[tuple[str, str]]) -> Iterator[Program]:
    """One program a test.

    Raises:
        DataError: a test of a function is not JSON.
    """
    entry = f"Solution().{function}" if "class Solution" in code else function
    for given, wanted in tests:
        check = Call(_call_test(given, wanted)) if function else Stdio(((given, wanted),))
        yield Program("", f"{PREAMBLE}{code}\n", check, entry, limits=LIMITS)


def _call_test(given: str, wanted: str) -> str:
    try:
        case = json.dumps([[json.loads(line) for line in given.split("\n")], json.loads(wanted)])
    except (ValueError, RecursionError):
        raise DataError("A test's arguments or result are not JSON, one value a line.") from None
    return (
        f"import json\n\ndef check(candidate):\n    args, wanted = json.loads({case!r})\n"
        "    got = candidate(*args)\n"
        "    assert (list(got) if type(got) is tuple else got) == wanted, 'wrong result'\n"
    )


def _sample(row: Row, place: str) -> Sample:
    """A row as a sample; its tests stay packed until an answer needs them.

    Raises:
        DataError: a field is missing or malformed.
    """
    try:
        metadata = json.loads(row.get("metadata") or "{}")
        day = date.fromisoformat(str(row.get("contest_date"))[:10])
        function = str(metadata.get("func_name") or "")
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{place} has no usable contest_date and metadata ({error}).") from None
    shown = {
        "question": text_of(row, "question_content", place),
        "starter": str(row.get("starter_code") or ""),
    }
    tests = [text_of(row, f"{kind}_test_cases", place) for kind in ("public", "private")]
    about = {"date": day.isoformat(), "difficulty": str(row.get("difficulty"))}
    target = {"function": function, "tests": tests}
    return Sample(text_of(row, "question_id", place), shown, target, about)


def read_window(text: str) -> tuple[date, date]:
    """The first and last day of `2024-08-01..2025-01-31`; a day left out sets no bound.

    Raises:
        UsageError: it is written otherwise, or ends before it begins.
    """
    start, dots, end = text.partition("..")
    if not dots or not (start or end):
        raise UsageError(f"'{text}' is no window of days; write 2024-08-01..2025-01-31.")
    first, last = _day(start, date.min), _day(end, date.max)
    if last < first:
        raise UsageError(f"The window '{text}' ends before it begins; swap its days.")
    return first, last


def _day(text: str, default: date) -> date:
    try:
        return date.fromisoformat(text) if text else default
    except ValueError:
        raise UsageError(f"'{text}' is no day like 2024-08-01; write it so.") from None


@task(
    "livecodebench",
    domain="code",
    metrics=(Metric("pass@1"),),
    settings=GenerationSettings(max_tokens=2000, temperature=0.2, top_p=0.95),
    repeats=10,
    roles=("sandbox",),
    card=Card(
        measures="Solving new contest problems in Python, all tests; pass@1.",
        not_measures="Repair, prediction of outputs; programs of several files.",
        source="huggingface.co/datasets/livecodebench/code_generation_lite",
        licence="the problems belong to LeetCode, AtCoder and Codeforces",
        verified="unverified: data not seen",
    ),
)
class LiveCodeBench:
    """Contest problems of a window of days."""

    def __init__(
        self, items: Path | None = None, *, window: tuple[date, date] = (date.min, date.max)
    ) -> None:
        self.items = items
        self.window = window

    @classmethod
    def variant(cls, text: str) -> Mapping[str, Any]:
        """What `livecodebench@text` sets: the window of days."""
        return {"window": read_window(text)}

    def samples(self) -> Iterator[Sample]:
        """One sample a problem of the window.

        Raises:
            UsageError: no file was named or found, or none of its problems lies in the window.
            DataError: a row lacks a field.
        """
        days: list[str] = []
        first, last = (day.isoformat() for day in self.window)
        for sample in self._all():
            days.append(sample.metadata["date"])
            if first <= days[-1] <= last:
                yield sample
        if days and not any(first <= day <= last for day in days):
            raise UsageError(
                f"None of the {len(days)} problems lies in {first}..{last}; they are from {min(days)} to "
                f"{max(days)}."
            )

    def _all(self) -> Iterator[Sample]:
        where = "test*.jsonl of huggingface.co/datasets/livecodebench/code_generation_lite"
        for file in [self.items] if self.items else find_files("livecodebench", "test", where):
            for number, row in enumerate(read_items(file), 1):
                yield _sample(row, f"{file}: problem {number}")

    def prompt(self, sample: Sample) -> Prompt:
        question, starter = sample.input["question"], sample.input["starter"]
        note, code = (_WITH_STARTER, starter) if starter else (_WITH_STDIN, "# YOUR CODE HERE")
        asked = (
            f"### Question:\n{question}\n\n### Format: {note}\n```python\n{code}\n```\n\n"
            "### Answer: (use the provided format with backticks)\n\n"
        )
        return Message("system", _SYSTEM), Message("user", asked)

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        code = last_block(generation.text)
        if not code.strip():
            return _described(sample, Score(0.0, _fault(generation), extracted=code))
        try:
            tests = [test for packed in sample.target["tests"] for test in unpack_tests(packed)]
            runs = list(programs(code, sample.target["function"], tests))
        except DataError as error:
            return Score.unscored("bad_data", problem=str(error))
        if not runs:
            return Score.unscored("bad_data", problem="the problem has no tests")
        passed = 0
        for run in runs:
            score = execution_score((yield Execute(run)), code)
            if score.value != 1.0:
                break
            passed += 1
        return _described(sample, score, passed=passed, tests=len(runs))

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """pass@1 by difficulty and by month."""
        values: defaultdict[str, list[float]] = defaultdict(list)
        for score in (score for own in scores.values() for score in own):
            for kind in ("difficulty", "month"):
                values[f"{kind}/{score.detail[kind]}"].append(score.value or 0.0)
        return {name: sum(found) / len(found) for name, found in sorted(values.items())}


def _fault(generation: Generation) -> str:
    if not generation.text.strip():
        return "empty"
    return "truncated" if generation.truncated else "unparsed"


def _described(sample: Sample, score: Score, **more: int) -> Score:
    about = sample.metadata
    detail = {"difficulty": about["difficulty"], "month": about["date"][:7], **more, **score.detail}
    return Score(score.value, score.reason, score.extracted, detail=detail)
