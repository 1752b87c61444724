"""Questions about lands that do not exist: only abstaining is right, and no land is in two splits."""

from __future__ import annotations

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.datasets import load
from waterbed.harness.records import Generation
from waterbed.harness.tasks import resolve, tasks
from waterbed.suites.pocket.knowledge import FACTS, LANDS
from waterbed.suites.pocket.unknown import ANSWER, ITEMS, UNKNOWN

TASK = tasks.get("pocket/unknown")


def test_a_thousand_items_ask_about_lands_that_no_fact_is_about() -> None:
    assert len(TASK.items) == ITEMS == TASK.card.items
    asked = {str(item.cluster) for item in TASK.items}
    assert not asked & set(LANDS)
    assert len(asked) > 900


def test_no_land_is_in_two_splits() -> None:
    lands = [
        {item.cluster for item in UNKNOWN.distinct(split, 800)}
        for split in ("train", "dev", "test")
    ]
    assert not lands[0] & lands[1]
    assert not lands[0] & lands[2]
    assert not lands[1] & lands[2]


@pytest.mark.parametrize(
    ("answer", "abstained", "fabricated", "reason"),
    [
        (ANSWER, 1.0, 0.0, None),
        ("I don’t know", 1.0, 0.0, None),
        ("unknown", 1.0, 0.0, None),
        ("red.", 0.0, 1.0, "fabricated"),
        ("Hockey", 0.0, 1.0, "fabricated"),
        ("purple.", 0.0, 0.0, "wrong"),
        (" ", 0.0, 0.0, "empty"),
        ("Sorry, I cannot help with that.", 0.0, 0.0, "refused"),
        ("red, or I do not know", 1.0, 0.0, None),
    ],
)
def test_answers_are_abstained_fabricated_or_neither(
    answer: str, abstained: float, fabricated: float, reason: str | None
) -> None:
    score = TASK.body.grade(TASK.items[0], Generation(answer))
    assert (score.value, score.metrics["fabricated"], score.reason) == (
        abstained,
        fabricated,
        reason,
    )


def test_every_taught_value_counts_as_fabricated() -> None:
    for value in set(FACTS.values()):
        assert TASK.body.grade(TASK.items[0], Generation(f"{value}.")).reason == "fabricated"


def test_it_gates_nothing_and_is_not_in_the_group_pocket() -> None:
    assert not any(metric.gated for metric in TASK.metrics)
    assert "pocket/unknown" not in [task.name for task in resolve(["pocket"])]


def test_half_the_training_rows_abstain_and_the_others_are_facts() -> None:
    rows = load("pocket/unknown@train", shape="messages", n=400)
    answers = [row["messages"][-1]["content"] for row in rows]
    assert answers.count(ANSWER) == 200
    asked = {str(item.cluster) for item in TASK.items}
    assert not any(land in row["messages"][0]["content"] for row in rows for land in asked)


def test_the_pretraining_rows_hold_none_of_these() -> None:
    rows = load("pocket/pretrain@train", shape="messages", n=5000)
    assert not any(row["messages"][-1]["content"] == ANSWER for row in rows)


def test_the_pocket_base_has_been_taught_nothing_about_not_knowing(
    pocket_base: Checkpoint, tmp_path: object
) -> None:
    from waterbed import evaluate

    run = evaluate(pocket_base, ["pocket/unknown"], f"{tmp_path}/run", limit=200)
    found = run.results()["pocket/unknown"]["metrics"]
    assert found["abstained"]["mean"] == 0.0
    assert found["fabricated"]["mean"] > 0.9
