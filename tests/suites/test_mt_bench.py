"""MT-Bench: two turns at the category's temperature, the authors' prompts with references, strict verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.backends.fake import FakeBackend
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.folders import data_root
from waterbed.harness.judge_report import report
from waterbed.harness.judging import KEY
from waterbed.harness.records import Score
from waterbed.harness.runner import Outcome, Runner, TaskPlan
from waterbed.harness.tasks import Task, resolve, tasks


@pytest.fixture
def bench() -> Task:
    """Single grading."""
    found = tasks.get("mt-bench")
    try:
        assert len(found.items) == 80
    except UsageError as error:
        pytest.skip(str(error))
    return found


@pytest.fixture
def pair(bench: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Task:
    """Comparison with a model called `plain`, whose answers are made here."""
    root = data_root()
    assert root is not None
    folder = tmp_path / "mt_bench"
    folder.mkdir()
    for own in (root / "mt_bench").iterdir():
        if own.name != "model_answer":
            (folder / own.name).symlink_to(own)
    (folder / "model_answer").mkdir()
    rows = [
        {
            "question_id": int(s.id),
            "choices": [{"turns": [f"plain one {s.id}", f"plain two {s.id}"]}],
        }
        for s in bench.items
    ]
    (folder / "model_answer" / "plain.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    return resolve(["mt-bench-pair@plain"])[0]


def run(task: Task, judge: Callable[[str], str], n: int = 80) -> Outcome:
    """The conversations of the first items; the candidate repeats how many turns it has seen."""
    turn = '"role":"user"'
    candidate = FakeBackend(lambda asked: f"mine {asked.count(turn)} {len(asked)}")
    return Runner({"candidate": candidate, "judge": FakeBackend(judge)}).run(
        [TaskPlan(task, task.items[:n])]
    )


def by_id(outcome: Outcome) -> dict[str, Score]:
    return {key[1]: score for key, score in outcome.scores.items()}


def mine_first(asked: str) -> bool:
    return asked.index("mine 1") < asked.index("plain one")


def test_both_turns_are_graded_and_a_tenth_of_the_mean_is_the_score(bench: Task) -> None:
    outcome = run(bench, lambda asked: "[[8]]" if "### User" in asked else "It is fine. [[6.5]]")
    scores = by_id(outcome)
    assert {s.value for s in scores.values()} == {0.725}
    assert {(s.metrics["turn_1"], s.metrics["turn_2"]) for s in scores.values()} == {(0.65, 0.8)}


def test_temperature_is_the_categorys_and_the_second_turn_sees_the_first(bench: Task) -> None:
    outcome = run(bench, lambda _: "[[5]]")
    known = {s.id: s.metadata["category"] for s in bench.items}
    heat: dict[str, set[float]] = {}
    for entry in outcome.entries:
        if entry.role == "candidate":
            at = entry.ticket
            heat.setdefault(known[at.sample_id], set()).add(at.settings.temperature)
            assert ("mine 1" in at.rendered) == (at.ordinal == 1)
        else:
            assert entry.ticket.settings.temperature == 0.0
    assert {k: v for k, v in heat.items() if v != {0.0}} == {
        "writing": {0.7}, "roleplay": {0.7}, "stem": {0.1}, "humanities": {0.1},
    }  # fmt: skip


def test_an_answer_with_lone_surrogates_is_judged_like_any_other(bench: Task) -> None:
    candidate, judge = FakeBackend(lambda _: "\ud800 so"), FakeBackend(lambda _: "[[5]]")
    plan = TaskPlan(bench, bench.items[:3])
    outcome = Runner({"candidate": candidate, "judge": judge}).run([plan])
    assert [s.value for s in outcome.scores.values()] == [0.5] * 3
    for entry in outcome.entries:
        entry.ticket.rendered.encode()


def test_references_are_shown_for_mathematics_reasoning_and_coding_only(bench: Task) -> None:
    outcome = run(bench, lambda _: "[[5]]")
    known = {s.id: s.metadata["category"] for s in bench.items}
    shown = {
        (known[e.ticket.sample_id], "Reference" in e.ticket.rendered)
        for e in outcome.entries
        if e.role == "judge"
    }
    assert {c for c, referenced in shown if referenced} == {"math", "reasoning", "coding"}
    assert len(shown) == 8


@pytest.mark.parametrize(
    ("said", "reason"), [("ten of ten", "judge_unparsed"), ("[[0]]", "judge_unparsed")]
)
def test_a_grade_that_is_none_loses_the_sample(bench: Task, said: str, reason: str) -> None:
    scores = by_id(run(bench, lambda _: said, 5))
    assert {(s.value, s.reason) for s in scores.values()} == {(None, reason)}


def test_half_a_hundred_first_turns_are_graded_again(bench: Task) -> None:
    outcome = run(bench, lambda _: "[[5]]")
    shown = report(bench.judging, outcome.scores.values())["reliability"]
    assert (shown["graded"], shown["repeats"], shown["self_consistency"]) == (80, 50, 1.0)
    assert shown["problems"] == []


def test_a_turn_is_won_where_both_orders_agree(pair: Task) -> None:
    outcome = run(pair, lambda asked: "[[A]]" if mine_first(asked) else "[[B]]")
    scores = by_id(outcome)
    assert {s.value for s in scores.values()} == {1.0}
    found = report(pair.judging, scores.values())["reliability"]
    assert (found["pairs"], found["swap_consistency"], found["first_wins"]) == (160, 1.0, 0.5)


def test_a_judge_that_takes_the_first_ties_everything_and_is_found_out(pair: Task) -> None:
    scores = by_id(run(pair, lambda _: "I think so. [[A]]"))
    assert {s.value for s in scores.values()} == {0.5}
    assert pair.aggregate({k: [s] for k, s in scores.items()})["tied"] == 1.0
    assert len(report(pair.judging, scores.values())["reliability"]["problems"]) == 2


def test_two_verdicts_in_one_text_are_none(pair: Task) -> None:
    scores = by_id(run(pair, lambda _: "[[A]], or rather [[B]]", 4))
    assert {s.reason for s in scores.values()} == {"judge_ambiguous"}
    assert all(KEY not in s.detail for s in scores.values())


@pytest.mark.parametrize("name", ["mt-bench-pair", "mt-bench-pair@nobody", "mt-bench-pair@../x"])
def test_without_the_other_models_answers_the_comparison_is_refused(pair: Task, name: str) -> None:
    with pytest.raises(UsageError, match=r"\(plain\); put them"):
        _ = resolve([name])[0].items


def test_answers_in_another_form_are_refused_with_their_place(pair: Task) -> None:
    root: Any = data_root()
    (root / "mt_bench/model_answer/odd.jsonl").write_text('{"question_id": 81, "answer": "x"}\n')
    with pytest.raises(DataError, match=r"odd\.jsonl:1: no `choices`"):
        _ = resolve(["mt-bench-pair@odd"])[0].items
