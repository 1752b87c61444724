"""What a gate is told of a Run's judge comes from the stored scores alone."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from waterbed.harness.errors import DataError
from waterbed.harness.judge_guard import sketch
from waterbed.harness.judge_report import troubles
from waterbed.harness.judging import KEY

METRICS = [{"name": "win"}]


def rows(task: str, *, agrees: bool | None = None) -> list[dict[str, Any]]:
    """A hundred pairs of a steady judge with no lean; labels that agree with it, or never do."""
    found = []
    for n in range(100):
        won = float(n % 2)
        looks = {"sketch": sketch(f"{n} {chr(97 + n % 26) * 3} {task} {n * n}"), "signs": []}
        judged: dict[str, Any] = {"games": [[won, 1], [1 - won, 1]], "looks": looks}
        if agrees is not None:
            judged["label"] = won if agrees else 1 - won
        detail = json.dumps({KEY: judged})
        found.append({"task": task, "sample_id": str(n), "metric": "win", "value": won, "detail": detail})  # fmt: skip
    return found


def manifest(**tasks: dict[str, Any]) -> dict[str, Any]:
    told = {name: {"reading": "log-probabilities", **about} for name, about in tasks.items()}
    return {"tasks": {name: {"metrics": METRICS} for name in tasks}, "judging": told}


def test_a_judge_that_labels_contradict_is_distrusted_in_every_task_it_judged() -> None:
    scores = pd.DataFrame(rows("arena") + rows("labels", agrees=False))
    found = troubles(manifest(arena={}, labels={"calibrates": True}), scores, "candidate")
    (sentence,) = found["arena"]
    assert sentence.startswith("labels: the judge of the candidate cannot be trusted (kappa")
    fine = pd.DataFrame(rows("arena") + rows("labels", agrees=True))
    assert troubles(manifest(arena={}, labels={"calibrates": True}), fine, "candidate") == {
        "arena": (),
        "labels": (),
    }


def test_a_run_without_judged_tasks_has_no_troubles() -> None:
    assert troubles({"tasks": {}}, pd.DataFrame(), "baseline") == {}


@pytest.mark.parametrize("detail", [None, "no json", "{}", '{"judge": {"games": [[1]]}}'])
def test_evidence_that_is_gone_is_an_error_and_never_a_pass(detail: str | None) -> None:
    damaged = [{**row, "detail": detail} for row in rows("arena")]
    with pytest.raises(DataError, match="arena: what the candidate's scores say of the judge"):
        troubles(manifest(arena={}), pd.DataFrame(damaged), "candidate")
