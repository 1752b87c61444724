"""AIME: hand-written answers are read by the documented rules; no other grader's verdicts are recorded."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.records import Generation
from waterbed.harness.tasks import tasks
from waterbed.suites.aime import AIME24, final_integer, grade_answer, integer

DATA = Path(os.environ.get("WATERBED_DATA", "/nonexistent")) / "aime"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="WATERBED_DATA has no aime/")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\\boxed{025}", "25"),
        ("\\boxed{1} no, \\boxed{ 25 }.", "25"),
        ("\\boxed{m+n=25}", "25"),
        ("\\boxed{\\text{25}}", "25"),
        ("\\boxed{25^\\circ}", "25"),
        ("\\boxed{$25$}", "25"),
        ("\\boxed{25.}", "25"),
        ("\\boxed{1{,}025}", "1025"),
        ("\\boxed{\\frac{50}{2}}, that is 25", "\\frac{50}{2}"),
        ("\\boxed{25", "25"),
        ("It is $25$.", "25"),
        ("It is $x = 025$.", "25"),
        ("With $a=3$ and $b=22$ the sum is 25", "25"),
        ("From $1$ to $25$", "25"),
        ("first 3, then 1,025", "1025"),
        ("3.5", None),
        ("the 25th", None),
        ("minus: -25", "-25"),
        ("10-25", "25"),
        ("9" * 40, "9" * 40),
        ("none", None),
        ("", None),
    ],
)
def test_the_first_rule_that_applies_reads_the_answer(text: str, said: str | None) -> None:
    assert final_integer(text) == said


@pytest.mark.parametrize(
    ("text", "stop", "value", "reason"),
    [
        ("\\boxed{025}", "stop", 1.0, None),
        ("\\boxed{26}", "stop", 0.0, "wrong"),
        ("\\boxed{x}", "stop", 0.0, "wrong"),
        ("I do not know", "stop", 0.0, "unparsed"),
        (" \n", "stop", 0.0, "empty"),
        ("so we have 25", "length", 0.0, "truncated"),
        ("\\boxed{25} and to check", "length", 1.0, None),
    ],
)
def test_a_failure_says_why(text: str, stop: str, value: float, reason: str | None) -> None:
    score = grade_answer(25, Generation(text, stop))  # type: ignore[arg-type]
    assert (score.value, score.reason) == (value, reason)


@pytest.mark.parametrize("text", ["", "25x", "2.5", "1/2", "٢٥", "9" * 5000, "9" * 20_000])
def test_what_is_no_integer_is_none(text: str) -> None:
    assert integer(text) is None


@needs_data
def test_both_years_have_thirty_problems_and_sixteen_answers_each() -> None:
    for name in ("aime24", "aime25"):
        task = tasks.get(name)
        assert (len(task.items), task.repeats, task.groups) == (30, 16, ())
        assert all(0 <= s.target <= 999 for s in task.items)
        assert (task.settings.temperature, task.settings.top_p) == (0.6, 0.95)
        assert tasks.get(f"{name}-greedy").data_hash == task.data_hash
        assert tasks.get(f"{name}-greedy").settings.greedy
        (message,) = task.body.prompt(task.items[0])
        assert task.items[0].input in message.content


@needs_data
def test_a_year_keeps_its_answers() -> None:
    targets = {s.id: s.target for s in tasks.get("aime24").items}
    assert (targets["60"], targets["67"]) == (204, 25)


def test_a_users_problems_in_the_same_format_are_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"id": "a", "problem": "5 * 5?", "answer": "025"}) + "\n")
    (sample,) = AIME24(file).samples()
    assert (sample.id, sample.target) == ("a", 25)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem": "?", "answer": "x"}, "'answer' of problem 1 is 'x'"),
        ({"problem": "?", "answer": "1000"}, "from 0 to 999"),
        ({"problem": "?"}, "'answer' of problem 1"),
        ({"answer": "25"}, "lacks the text 'problem'"),
    ],
)
def test_a_problem_that_cannot_be_graded_is_named(
    row: dict[str, str], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=message):
        list(AIME24(file).samples())


def test_without_data_the_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERBED_DATA", raising=False)
    with pytest.raises(UsageError, match=r"aime/aime2024\.jsonl"):
        list(AIME24().samples())


@pytest.mark.parametrize(
    "text", ["$" * 2_000_000, "1," * 1_000_000, "1,111" * 400_000, "\\boxed{" * 300_000, "9" * 9**6]
)
def test_hostile_texts_are_read_in_bounded_time(text: str) -> None:
    began = time.process_time()
    grade_answer(25, Generation(text))
    assert time.process_time() - began < 1


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["\\boxed{", "}", "$", "25", "0", ",", ".", "-", "=", " ", "x", "\ud800", "²"]
        )
        | st.text(max_size=5)
    ).map("".join)
)
def test_every_text_gets_a_score(text: str) -> None:
    score = grade_answer(25, Generation(text))
    assert score.value in (0.0, 1.0)
    assert (score.reason is None) == (score.value == 1.0)
