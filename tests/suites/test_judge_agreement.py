"""Labelled pairs measure the judge of a Run, and a judge that people disagree with invalidates the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from waterbed.harness.api import evaluate, gate
from waterbed.harness.backends.fake import FakeBackend
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.run import Run
from waterbed.harness.tasks import Task, resolve

Make = Callable[..., Task]


def rows(n: int, seed: int = 1) -> list[dict[str, str]]:
    """Pairs of a good and a bad answer in either place, with what people said."""
    rng = Random(seed)
    found = []
    for k in range(n):
        pair, label = [f"good answer {k}", f"bad answer {k}"], "A"
        if rng.random() < 0.5:
            pair, label = pair[::-1], "B"
        found.append({"prompt": f"question {k}", "answer_a": pair[0], "answer_b": pair[1], "label": label})  # fmt: skip
    return found


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Make]:
    """The task on labels of one's own; what it has read is forgotten before and after."""
    (own,) = resolve(["judge-agreement"])

    def forget() -> None:
        for name in ("body", "items", "data_hash"):
            vars(own).pop(name, None)

    def make(found: list[dict[str, str]]) -> Task:
        folder = tmp_path / "judge_agreement"
        folder.mkdir(exist_ok=True)
        (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, found)))
        monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
        forget()
        return own

    yield make
    forget()


def fond_of(word: str) -> Callable[[str], str]:
    other = {"good": "bad", "bad": "good"}[word]
    return lambda asked: (
        "It helps. [[A]]"
        if asked.index(f"{word} answer") < asked.index(f"{other} answer")
        else "[[B]]"
    )


@pytest.fixture(scope="module")
def candidate(pocket_base: Checkpoint) -> Iterator[TransformersBackend]:
    backend = TransformersBackend(pocket_base)
    yield backend
    backend.close()


def run(checkpoint: Checkpoint, engine: Any, judge: Callable[[str], str], out: Path) -> Run:
    judges: Any = {"judge": FakeBackend(judge)}
    return evaluate(checkpoint, ["judge-agreement"], out, backend=engine, judges=judges)


def test_a_judge_that_people_agree_with_has_a_kappa_of_one(
    labelled: Make, pocket_base: Checkpoint, candidate: Any, tmp_path: Path
) -> None:
    labelled(rows(120))
    shown = run(pocket_base, candidate, fond_of("good"), tmp_path / "r").results()[
        "judge-agreement"
    ]
    found = shown["judge"]["reliability"]
    assert (found["labels"], found["kappa"], found["problems"]) == (120, 1.0, [])
    assert shown["metrics"]["agrees"]["mean"] == 1.0


def test_a_steady_judge_that_people_disagree_with_is_named(
    labelled: Make, pocket_base: Checkpoint, candidate: Any, tmp_path: Path
) -> None:
    labelled(rows(120))
    made = run(pocket_base, candidate, fond_of("bad"), tmp_path / "r")
    shown = made.results()["judge-agreement"]["judge"]["reliability"]
    (problem,) = shown["problems"]
    assert problem.startswith("kappa with 120 labels is -")
    assert gate(made, made).exit_code != 0


def test_a_pair_that_people_call_even_agrees_with_a_tie_only(labelled: Make) -> None:
    from waterbed.harness.runner import Runner, TaskPlan

    task = labelled([{**row, "label": "tie"} for row in rows(6)])
    for said, agreed in ((lambda _: "[[C]]", 1.0), (fond_of("good"), 0.0)):
        outcome = Runner({"judge": FakeBackend(said)}).run([TaskPlan(task, task.items)])
        assert {s.value for s in outcome.scores.values()} == {agreed}


def test_another_label_or_variant_is_refused(labelled: Make) -> None:
    with pytest.raises(DataError, match=r"row 2 has the label 'C'"):
        _ = labelled([*rows(1), {**rows(1)[0], "label": "C"}]).items
    with pytest.raises(UsageError, match="log-probabilities"):
        resolve(["judge-agreement@loud"])
