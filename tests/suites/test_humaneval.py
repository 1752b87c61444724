"""HumanEval's verdicts equal the official checker's, with the test out of the program's reach."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.backends.sandbox import SandboxBackend
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.records import Generation, Score
from waterbed.harness.rewards import reward
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.programs import code_block

DATA = Path(os.environ.get("WATERBED_DATA", "/nonexistent")) / "humaneval"
VECTORS = Path(os.environ.get("WATERBED_VECTORS", "/nonexistent")) / "humaneval.json"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="WATERBED_DATA is not set")
needs_vectors = pytest.mark.skipif(not VECTORS.is_file(), reason="WATERBED_VECTORS is not set")

PROBLEM = {
    "task_id": "mine/0",
    "prompt": "def twice(x):\n    '''Twice x.'''\n",
    "entry_point": "twice",
    "test": "def check(candidate):\n    assert candidate(4) == 8\n    assert candidate('a') == 'aa'\n",
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps(PROBLEM) + "\n")
    return file


def graded(task: Task, ids: list[str], answers: list[str], sandbox: SandboxBackend) -> list[Score]:
    by_id = {s.id: s for s in task.items}
    samples = [by_id[i] for i in ids]
    return reward(task, samples, [Generation(a) for a in answers], {"sandbox": sandbox})


def solutions() -> dict[str, str]:
    with gzip.open(DATA / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return {row["task_id"]: row["canonical_solution"] for row in rows}


def variant(name: str, solution: str, prompt: str) -> str | None:
    """Completions that the reference's verdicts are recorded for and that can be told from the name."""
    return {
        "empty": "",
        "pass_stmt": "    pass\n",
        "return_none": "    return None\n",
        "whole_function_repeated": f"\n{prompt}{solution}",
    }.get(name)


@needs_data
def test_all_canonical_solutions_pass(sandbox: SandboxBackend) -> None:
    task = resolve(["humaneval"])[0]
    right = solutions()
    scores = graded(task, list(right), list(right.values()), sandbox)
    assert [s.reason for s in scores if s.value != 1.0] == []
    assert len(scores) == 164
    assert {s.detail["integrity"] for s in scores} == {"split"}


@needs_data
@needs_vectors
@pytest.mark.parametrize("name", ["empty", "pass_stmt", "return_none", "whole_function_repeated"])
def test_verdicts_equal_the_official_checkers(name: str, sandbox: SandboxBackend) -> None:
    recorded: dict[str, Any] = json.loads(VECTORS.read_text())["variants"][name]
    task = resolve(["humaneval"])[0]
    prompts = {s.id: s.input for s in task.items}
    right = solutions()
    ids = list(recorded)
    answers = [variant(name, right[i], prompts[i]) for i in ids]
    scores = graded(task, ids, [a for a in answers if a is not None], sandbox)
    assert {i: s.value == 1.0 for i, s in zip(ids, scores, strict=True)} == {
        i: row["passed"] for i, row in recorded.items()
    }


def test_a_users_problems_in_the_same_format_are_scored(
    mine: Path, sandbox: SandboxBackend
) -> None:
    task = resolve(["humaneval"])[0].on(mine)
    answers = [
        "    return x * 2\n",
        "    return x + 4\n",
        "    raise SystemExit(0)\n",
        "    return",
    ]
    scores = graded(task, ["mine/0"] * 4, answers, sandbox)
    assert [s.value for s in scores] == [1.0, 0.0, 0.0, 0.0]
    assert scores[1].reason == "failed"


def test_a_chat_answer_may_hold_the_whole_function_or_only_its_body(
    mine: Path, sandbox: SandboxBackend
) -> None:
    task = resolve(["humaneval-chat"])[0].on(mine)
    answers = [
        "Here:\n```python\ndef twice(x):\n    return x * 2\n```\nDone.",
        "```python\n    return x * 2\n```",
        "def twice(x):\n    return x * 2\n",
        "I cannot do that.",
    ]
    scores = graded(task, ["mine/0"] * 4, answers, sandbox)
    assert [s.value for s in scores] == [1.0, 1.0, 1.0, 0.0]


def test_a_problem_without_its_test_is_named(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps({**PROBLEM, "test": None}) + "\n")
    with pytest.raises(DataError, match="problem 1 lacks the text 'test'"):
        _ = resolve(["humaneval"])[0].on(file).items


def test_a_suite_that_reads_no_files_says_so(mine: Path) -> None:
    with pytest.raises(UsageError, match="--items"):
        resolve(["pocket/math"])[0].on(mine)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na\n```\n```python\nb\n```", "a"),
        ("```\nplain\n```\n```python\nmarked\n```", "marked"),
        ("```py\nunclosed\nblock", "unclosed\nblock"),
        ("no block", "no block"),
        ("```python\n```", ""),
    ],
)
def test_the_first_python_block_is_taken(text: str, code: str) -> None:
    assert code_block(text) == code
