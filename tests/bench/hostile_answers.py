"""Answers meant to break graders, and items to grade them on where no official data are at hand.

Shared by the fuzz in tests/suites and its long version in tests/study. Items are hand-written in each
benchmark's documented format; an official item is taken where its data are on this machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.backends.base import Backend
from waterbed.harness.errors import UsageError
from waterbed.harness.records import Generation, Sample, Score
from waterbed.harness.runner import Runner
from waterbed.harness.tasks import Task, tasks

#: Every task of this package that has a rule, by name; a judge's verdicts have tests of their own.
NAMES = sorted(
    name
    for name, task in tasks.all().items()
    if task.factory.__module__.startswith("waterbed.") and "judge" not in task.roles
)
#: Those of them whose graders differ.
GRADERS = sorted({getattr(tasks.get(n).factory, "grade", n): n for n in reversed(NAMES)}.values())
MEGABYTES = 10
#: Repeated up to the wanted size; each is the worst of some rule's own marks.
PIECES = {
    "words": "word and, ",
    "digits": "1",
    "fences": "```\n",
    "python fences": "```python\nx\n",
    "boxes": "\\boxed{",
    "dollars": "$x",
    "fractions": "\\frac{1}{",
    "parentheses": "(",
    "brackets": "[",
    "braces": '{"a":',
    "final": "#### 1,",
    "answers": "answer is (A",
    "stars": "*",
    "star lines": "* \n",
    "dashes": "-\n",
    "angles": "<<",
    "blank lines": " \n\n",
    "capitals": "A B. ",
    "quotes": "\"'",
    "sorry": "I'm sorry, but I can't ",
    "surrogates": "\ud800",
    "nulls": "\0",
    "combining": "e\u0301\u0323",
    "calls": "f(f(",
    "sections": "SECTION 1 ",
}
#: Short texts, each hostile in its own way.
SHORT = (
    "\ud800\udfff",
    "\x00\x07\x1b[2J\x7f\u202e",
    "[" * 5000 + "]" * 5000,
    '{"a":' * 5000 + "1" + "}" * 5000,
    "(" * 5000 + ")" * 5000,
    "\\boxed{" + "{" * 3000 + "}" * 3000 + "}",
    "\\boxed{" + "\\frac{1}{" * 300 + "2" + "}" * 300 + "}",
    "\\boxed{9^{9^{9^{9}}}}",
    "\\boxed{(x+1)^{2000}-(x+1)^{2000}+1}",
    "\\boxed{" + "+".join(f"\\sqrt{{{n}}}" for n in range(2, 40)) + "}",
    "\\boxed{\\sin(\\cos(\\tan(x)))^{10}+\\sqrt{x}^{\\sqrt{x}}}",
    "\\boxed{__import__('os').system('false')}",
    "#### " + "9" * 5000,
    "#### 1e999999999",
    "#### -,.,.,.",
    "```python\n" + "x = (" * 500 + "\n```",
    "```json\n" + "[" * 100000 + "\n```",
    "I cannot\u2028\u2029answer\u0085\x0b\x0c.",
    "\u0661\u0662\u00b2\u2460\U0001d7d8",
    "- \n" * 3000,
    "A" * 70000,
)

_CODE = {
    "task_id": "mine/0",
    "prompt": "def twice(x):\n    '''Twice x.'''\n",
    "entry_point": "twice",
    "canonical_solution": "    return x * 2\n",
    "test": "def check(candidate):\n    assert candidate(4) == 8\n",
    "base_input": [[4]],
    "plus_input": [[-2]],
    "atol": 0,
}
_QUESTION = {
    "question_id": 1,
    "question": "Which is even?",
    "options": ["1", "2"],
    "answer": "B",
    "answer_index": 1,
    "cot_content": "A: Let's think step by step. The answer is (B).",
    "category": "math",
    "src": "mine",
}
_GPQA = ("Record ID", "Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3)))
_CONTEST = {
    "question_content": "Print 3.",
    "question_id": "mine_a",
    "contest_date": "2024-08-17",
    "difficulty": "easy",
    "metadata": "{}",
    "public_test_cases": '[{"input": "", "output": "3", "testtype": "stdin"}]',
    "private_test_cases": '[{"input": "", "output": "3", "testtype": "stdin"}]',
}
#: One row in the format of each benchmark that can read a file, by the beginning of the task's name.
ROWS: Mapping[str, Mapping[str, Any]] = {
    "humaneval": _CODE,
    "mbpp": {
        **_CODE,
        "task_id": "Mbpp/9001",
        "canonical_solution": "def twice(x):\n    return x * 2\n",
    },
    "livecodebench": _CONTEST,
    "mmlu": _QUESTION,
    "gpqa": dict(zip(_GPQA, ("r", "Which?", "w", "x", "y", "z"), strict=True)),
    "simpleqa": {"problem": "Who wrote it?", "answer": "Ann Lee"},
    "prompts": {"prompt": "How do I mend a kite?"},
    "aime": {"id": "a", "problem": "1+1?", "answer": "2"},
}


def prepared(name: str, folder: Path) -> tuple[Task, Sample]:
    """A task and one of its items: official where the data are here, else hand-written in `folder`.

    Raises:
        UsageError: neither is at hand.
    """
    task = tasks.get(name)
    try:
        return task, task.items[0]
    except UsageError:
        row = next((row for start, row in ROWS.items() if name.startswith(start)), None)
        if row is None:
            raise
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    shots = [{**_QUESTION, "question_id": n, "question": f"{n}?"} for n in range(2, 9)]
    (folder / "validation.jsonl").write_text("".join(json.dumps(s) + "\n" for s in shots))
    task = task.on(file)
    return task, task.items[0]


class Items:
    """One item of every task, prepared when it is first asked for."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self.folder = folder
        self.known: dict[str, tuple[Task, Sample]] = {}

    def of(self, name: str) -> tuple[Task, Sample]:
        """A task and one of its items, or a skip that says why."""
        try:
            if name not in self.known:
                self.known[name] = prepared(name, self.folder("items"))
        except UsageError as error:
            pytest.skip(str(error))
        if self.known[name][0].multi_turn:
            pytest.skip("multi-turn")
        return self.known[name]


def of_size(piece: str, size: int) -> str:
    """`piece` repeated to `size` characters."""
    return (piece * (size // len(piece) + 1))[:size]


def assert_sound(score: Score) -> None:
    """A number, a reason unless it is 1, and evidence that a Run can hold."""
    assert score.value is not None, (score.reason, score.detail)
    assert score.value == 1.0 or score.reason
    json.dumps([score.detail, dict(score.metrics)])


def timed(
    task: Task, sample: Sample, texts: list[str], sandbox: Backend
) -> Iterator[tuple[Score, float]]:
    """The score of each text, and the processor seconds that this process took for it."""
    for text in texts:
        for make in (Generation, partial(Generation, stop_reason="length")):
            began = time.process_time()
            (score,) = Runner({"sandbox": sandbox}).score(task, [(sample, make(text))])
            yield score, time.process_time() - began
