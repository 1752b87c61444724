"""LiveCodeBench runs every test, of functions and of scripts; problems here are hand-written in its format."""

from __future__ import annotations

import base64
import json
import pickle
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.backends.sandbox import SandboxBackend
from waterbed.harness.errors import DataError, InstrumentError, UsageError
from waterbed.harness.records import Generation, Score
from waterbed.harness.rewards import reward
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.livecodebench import LiveCodeBench, last_block


def cases(kind: str, *pairs: tuple[str, str]) -> str:
    return json.dumps([{"input": i, "output": o, "testtype": kind} for i, o in pairs])


def packed(text: str) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(text))).decode()


SCRIPT: dict[str, Any] = {
    "question_title": "Sum",
    "question_content": "Print the sum of each line.",
    "platform": "atcoder",
    "question_id": "mine_a",
    "contest_id": "mine",
    "contest_date": "2024-08-17T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": cases("stdin", ("1 2\n", "3\n")),
    "private_test_cases": packed(cases("stdin", ("1 2\n3 4\n", "3\n7.0"), ("", ""))),
    "metadata": "{}",
}
FUNCTION = {
    **SCRIPT,
    "question_id": "3000",
    "platform": "leetcode",
    "contest_date": "2024-09-01T00:00:00",
    "starter_code": "class Solution:\n    def pair(self, a: int, b: str) -> list:\n        ",
    "difficulty": "hard",
    "public_test_cases": cases("functional", ('1\n"x"', '[1, "x"]')),
    "private_test_cases": cases("functional", ('2\n"y"', '[2, "y"]')),
    "metadata": '{"func_name": "pair"}',
}


def on(tmp_path: Path, *problems: dict[str, Any]) -> Task:
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(p) + "\n" for p in problems))
    return resolve(["livecodebench"])[0].on(file)


def graded(task: Task, codes: list[str], sandbox: SandboxBackend) -> list[Score]:
    answers = [Generation(f"Here:\n```python\n{code}\n```\nDone.") for code in codes]
    return reward(task, [task.items[0]] * len(codes), answers, {"sandbox": sandbox})


def test_a_script_must_pass_all_tests_shown_and_hidden(
    tmp_path: Path, sandbox: SandboxBackend
) -> None:
    codes = [
        "for line in sys.stdin:\n    print(sum(map(int, line.split())))",
        "if __name__ == '__main__':\n    for l in stdin: print(sum(map(int, l.split())))",
        "print(sum(map(int, input().split())))",
        "print(3)",
        "raise SystemExit(0)",
        "print(3",
    ]
    scores = graded(on(tmp_path, SCRIPT), codes, sandbox)
    assert [s.value for s in scores] == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert [s.detail["passed"] for s in scores] == [3, 3, 1, 1, 0, 0]
    assert scores[0].detail["tests"] == 3
    assert scores[0].extracted == codes[0]
    assert {s.detail["integrity"] for s in scores} == {"split"}


def test_a_function_is_called_with_one_value_a_line(
    tmp_path: Path, sandbox: SandboxBackend
) -> None:
    head = "class Solution:\n    def pair(self, a: int, b: str) -> List:\n        "
    codes = [
        f"{head}return [a, b]",
        f"{head}return a, b",
        "def pair(a, b):\n    return [a, b]",
        f"{head}return [1, 'x']",
        f"{head}return {{'a': a}}",
        "class Solution:\n    pass",
        f"{head}\n            import os; os._exit(0)",
    ]
    scores = graded(on(tmp_path, FUNCTION), codes, sandbox)
    assert [s.value for s in scores] == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na\n```\nand\n```python\nb\n```", "b"),
        ("```python\na\n```\nb\nand ``` again\nc", "b"),
        ("```python\na", ""),
        ("a", ""),
        ("```\n```", ""),
    ],
)
def test_the_code_stands_between_the_last_two_fences(text: str, code: str) -> None:
    assert last_block(text) == code


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["```", "\n", "x", "\ud800", "\0"]), max_size=20).map("".join))
def test_code_of_any_text_is_a_part_of_it(text: str) -> None:
    assert last_block(text) in text


def test_ten_megabytes_of_fences_are_read_in_bounded_time() -> None:
    began = time.process_time()
    assert last_block("```\n" * 2_500_000) == ""
    assert time.process_time() - began < 4


def test_no_code_is_the_models_fault_and_runs_nothing(tmp_path: Path) -> None:
    task = on(tmp_path, SCRIPT)
    reasons = {}
    faults: list[tuple[str, Any]] = [("", "stop"), ("Hm.", "stop"), ("```python\nx", "length")]
    for text, stop in faults:
        with pytest.raises(StopIteration) as done:
            next(task.grade(task.items[0], Generation(text, stop)))
        reasons[text] = (done.value.value.value, done.value.value.reason)
    assert list(reasons.values()) == [(0.0, "empty"), (0.0, "unparsed"), (0.0, "truncated")]


@pytest.mark.parametrize(
    "broken",
    [
        {"private_test_cases": packed("x")},
        {"private_test_cases": "[]", "public_test_cases": "[]"},
        {"private_test_cases": cases("functional", ("x", "1"))},
    ],
)
def test_unreadable_tests_are_the_datas_fault(
    broken: dict[str, Any], tmp_path: Path, sandbox: SandboxBackend
) -> None:
    with pytest.raises(InstrumentError, match="bad_data"):
        graded(on(tmp_path, {**FUNCTION, **broken}), ["pass"], sandbox)


def test_a_window_keeps_both_of_its_days(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps(SCRIPT) + "\n" + json.dumps(FUNCTION) + "\n")

    def ids(suite: str) -> list[str]:
        return [sample.id for sample in resolve([suite])[0].on(file).items]

    assert ids("livecodebench") == ["mine_a", "3000"]
    assert ids("livecodebench@2024-08-17..2024-08-17") == ["mine_a"]
    assert ids("livecodebench@2024-08-18..") == ["3000"]
    assert ids("livecodebench@..2024-08-31") == ["mine_a"]
    with pytest.raises(UsageError, match=r"None of the 2 .* from 2024-08-17 to 2024-09-01"):
        ids("livecodebench@2025-01-01..")


def test_a_window_is_a_part_of_the_suites_name() -> None:
    (task,) = resolve(["livecodebench@2024-08-01..2025-01-31"])
    assert task.name == "livecodebench@2024-08-01..2025-01-31"
    assert task.version == resolve(["livecodebench"])[0].version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no window"),
        ("..", "is no window"),
        ("2024-08-01", "is no window"),
        ("August..", "'August' is no day"),
        ("2024-08-01..2024-13-01", "'2024-13-01' is no day"),
        ("2024-08-02..2024-08-01", "ends before it begins"),
    ],
)
def test_a_bad_window_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        resolve([f"livecodebench@{text}"])


def test_a_suite_with_nothing_to_set_has_no_variants() -> None:
    with pytest.raises(UsageError, match="'gsm8k' has no variants"):
        resolve(["gsm8k@2024"])


def test_prompts_name_the_starter_code_or_standard_input(tmp_path: Path) -> None:
    task = on(tmp_path, SCRIPT, FUNCTION)
    script, function = (task.body.prompt(sample) for sample in task.items)
    assert [message.role for message in script] == ["system", "user"]
    assert script[1].content.startswith(
        "### Question:\nPrint the sum of each line.\n\n### Format: "
    )
    assert "```python\n# YOUR CODE HERE\n```\n\n### Answer: " in script[1].content
    assert "stdin" not in function[1].content
    assert FUNCTION["starter_code"] in function[1].content


def test_figures_are_given_by_difficulty_and_month() -> None:
    detail = [
        {"difficulty": "easy", "month": "2024-08"},
        {"difficulty": "hard", "month": "2024-09"},
    ]
    scores = {
        "a": [Score(1.0, detail=detail[0])] * 2,
        "b": [Score(0.0, "failed", detail=detail[1])] * 2,
    }
    assert LiveCodeBench().aggregate(scores) == {
        "difficulty/easy": 1.0,
        "difficulty/hard": 0.0,
        "month/2024-08": 1.0,
        "month/2024-09": 0.0,
    }


@pytest.mark.parametrize(
    "change", [{"contest_date": "soon"}, {"metadata": "[]"}, {"question_content": 7}]
)
def test_a_malformed_problem_is_named(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="problem 1 "):
        _ = on(tmp_path, {**SCRIPT, **change}).items


@pytest.mark.parametrize("code", ["(" * 100_000, "\ud800\0", "x" * 10_000_000, "print('3' * 99)"])
def test_hostile_code_fails_as_programs_do(
    code: str, tmp_path: Path, sandbox: SandboxBackend
) -> None:
    (score,) = graded(on(tmp_path, SCRIPT), [code], sandbox)
    assert score.value == 0.0
    assert score.reason in ("failed", "crashed", "limit")
