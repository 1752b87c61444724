"""The best answers are kept, fine-tuned on, and traced in the lineage."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.records import Generation
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.rejection_sampling import BEST, chosen

SETTINGS: dict[str, Any] = {
    "prompts": {"pocket/instruction-prompts@train": 32},
    "sampled": {"n": 4, "max_tokens": 40},
    "together": 64,
    "batch_size": 4,
    "save_every": 1,
}


@pytest.fixture(scope="module")
def made(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    context = StageContext(tmp_path_factory.mktemp("rejection") / "made")
    return stages.get("rejection-sampling").run(pocket_base, context, **SETTINGS)


def test_the_best_answer_is_kept_of_equals_the_first_and_none_that_earns_too_little() -> None:
    rows = [{"prompt": [{"role": "user", "content": q}]} for q in "abcd"]
    answers = [Generation(text) for text in ("w", "x", "y", "z", "p", "q", " ", "r")]
    totals = [0.5, 1.0, 1.0, 1.0, 0.9, None, 1.0, 0.0]
    kept = list(chosen(rows, answers, totals, least=1.0))
    assert [row["messages"][-1]["content"] for row in kept] == ["x", "y"]
    assert [row["messages"][0]["content"] for row in kept] == ["a", "b"]


def test_the_stage_learns_its_best_answers_and_says_so(made: Checkpoint) -> None:
    lineage = json.loads((made.path / "waterbed.json").read_text(encoding="utf-8"))
    lines = StageContext(made.path).metrics_path.read_text(encoding="utf-8").splitlines()
    told = json.loads(lines[-1])
    assert told["step"] > json.loads(lines[-2])["step"]
    assert lineage["data"][BEST]["rows"] == round(32 * told["kept"]) > 0
    assert lineage["stage"] == "rejection-sampling"


@pytest.mark.parametrize("killed", [("sampling", 32), ("rejection-sampling", 3)])
def test_a_killed_stage_goes_on_to_the_same_digest(
    made: Checkpoint, pocket_base: Checkpoint, tmp_path: Path, killed: tuple[str, int]
) -> None:
    run, out, done = stages.get("rejection-sampling").run, tmp_path / "out", []

    def die(what: str, step: int, _: int) -> None:
        if (what, step) == killed:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            run(pocket_base, StageContext(out, progress=die), **SETTINGS)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    context = StageContext(out, progress=lambda what, step, _: done.append((what, step)))
    assert run(pocket_base, context, **SETTINGS).digest == made.digest != pocket_base.digest
    trained = [step for what, step in done if what != "sampling"]
    assert trained[0] == (3 if killed[0] == "rejection-sampling" else 1)


def test_where_nothing_earns_enough_the_stage_says_what_to_lower(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="No answer to 32 prompts earned 2; lower least"):
        stages.get("rejection-sampling").run(
            pocket_base, StageContext(tmp_path / "a"), least=2.0, **SETTINGS
        )
