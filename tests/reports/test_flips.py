"""Flips are collected from two Runs: the right samples, the right way round, with their texts."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from waterbed.harness.verdict import Verdict
from waterbed.reports.flips import FlipGroup, collect_flips


def gate(examples: ModuleType, id: str, metric: str, task: str) -> Verdict:
    from dataclasses import replace

    claim = examples.domain(id, 0.02, "pass", {task: (10, 5, 1, 1)}, metric=metric)
    tasks = tuple(replace(t, metric=metric) for t in claim.tasks)
    return examples.verdict(domain_list=(replace(claim, tasks=tasks),))


def run(
    examples: ModuleType,
    values: dict[str, float | None],
    metric: str = "correct",
    better: str = "higher",
    **more: Any,
) -> Any:
    manifest = {"tasks": {"t": {"metrics": [{"name": metric, "better": better}]}}}
    rows = tuple(
        examples.score_row("t", s, v, metric, extracted=f"got {s}", reason=None if v else "wrong")
        for s, v in values.items()
    )
    texts = tuple(examples.generation_row("t", s, f"answer {s}", f"ask {s}") for s in values)
    defaults = {"manifest": manifest, "score_rows": rows, "generation_rows": texts}
    return examples.ExampleRun("r", **{**defaults, **more})


def only(groups: tuple[FlipGroup, ...]) -> FlipGroup:
    (group,) = groups
    return group


def test_newly_failing_come_first_with_prompt_text_and_scores(examples: ModuleType) -> None:
    verdict = gate(examples, "math", "correct", "t")
    old = run(examples, {"a": 1.0, "b": 0.0, "c": 1.0})
    new = run(examples, {"a": 0.0, "b": 1.0, "c": 1.0})
    group = only(collect_flips(verdict, old, new))
    assert [(f.sample_id, f.direction) for f in group.flips] == [
        ("a", "newly_failing"),
        ("b", "newly_passing"),
    ]
    first = group.flips[0]
    assert (first.prompt, first.candidate.text) == ("ask a", "answer a")
    assert (first.baseline.value, first.candidate.value) == (1.0, 0.0)
    assert (first.candidate.reason, first.candidate.extracted) == ("wrong", "got a")


def test_where_lower_is_better_a_rise_is_a_loss(examples: ModuleType) -> None:
    verdict = gate(examples, "safety/unsafe", "unsafe", "t")
    old = run(examples, {"a": 0.0}, "unsafe", "lower")
    new = run(examples, {"a": 1.0}, "unsafe", "lower")
    assert only(collect_flips(verdict, old, new)).flips[0].direction == "newly_failing"


def test_a_sample_that_the_instrument_lost_is_no_flip(examples: ModuleType) -> None:
    verdict = gate(examples, "math", "correct", "t")
    old = run(examples, {"a": 1.0, "b": 1.0})
    new = run(examples, {"a": None, "b": 1.0})
    assert collect_flips(verdict, old, new) == ()


def test_no_more_than_asked_are_kept_and_the_largest_losses_win(examples: ModuleType) -> None:
    verdict = gate(examples, "math", "correct", "t")
    ids = [f"s{i:03}" for i in range(80)]
    old = run(examples, dict.fromkeys(ids, 1.0))
    new = run(examples, {s: i / 100 for i, s in enumerate(ids)})
    group = only(collect_flips(verdict, old, new, per_task=5))
    assert [f.sample_id for f in group.flips] == ids[:5]


def test_repeats_are_averaged_and_the_one_that_differs_most_is_shown(examples: ModuleType) -> None:
    def repeats(*values: float) -> Any:
        rows = tuple(examples.score_row("t", "a", v, repeat=i) for i, v in enumerate(values))
        texts = tuple(
            examples.generation_row("t", "a", f"try {i}", repeat=i) for i in range(len(values))
        )
        return run(examples, {}, score_rows=rows, generation_rows=texts)

    verdict = gate(examples, "math", "correct", "t")
    (flip,) = only(collect_flips(verdict, repeats(1, 1, 1), repeats(1, 0, 1))).flips
    assert (flip.repeat, flip.candidate.text) == (1, "try 1")
    assert collect_flips(verdict, repeats(1, 0), repeats(0, 1)) == ()


def test_turns_of_a_conversation_are_numbered_and_the_judge_is_left_out(
    examples: ModuleType,
) -> None:
    texts = (
        examples.generation_row("t", "a", "second", "p2", ordinal=1),
        examples.generation_row("t", "a", "first", "p1", ordinal=0),
        examples.generation_row("t", "a", "verdict: A", "judge", ordinal=2, role="judge"),
    )
    old = run(examples, {"a": 1.0}, generation_rows=texts)
    new = run(examples, {"a": 0.0}, generation_rows=texts)
    (flip,) = only(collect_flips(gate(examples, "math", "correct", "t"), old, new)).flips
    assert flip.prompt == "p1"
    assert flip.candidate.text == "[turn 1]\nfirst\n\n[turn 2]\nsecond"


def test_a_choice_without_text_is_still_a_flip(examples: ModuleType) -> None:
    old, new = (run(examples, {"a": v}, generation_rows=()) for v in (1.0, 0.0))
    (flip,) = only(collect_flips(gate(examples, "math", "correct", "t"), old, new)).flips
    assert flip.candidate.text == flip.prompt == ""


@pytest.mark.parametrize("detail", ["{}", "", None])
def test_an_empty_detail_is_no_evidence(examples: ModuleType, detail: str | None) -> None:
    rows = [(examples.score_row("t", "a", v, detail=detail),) for v in (1.0, 0.0)]
    old, new = (run(examples, {"a": 1.0}, score_rows=r) for r in rows)
    (flip,) = only(collect_flips(gate(examples, "math", "correct", "t"), old, new)).flips
    assert flip.candidate.detail == ""
