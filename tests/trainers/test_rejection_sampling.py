"""The best answers are kept, fine-tuned on, and traced in the lineage."""

from __future__ import annotations

import json
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
}


def test_the_best_answer_is_kept_of_equals_the_first_and_none_that_earns_too_little() -> None:
    rows = [{"prompt": [{"role": "user", "content": q}]} for q in "abcd"]
    answers = [Generation(text) for text in ("w", "x", "y", "z", "p", "q", " ", "r")]
    totals = [0.5, 1.0, 1.0, 1.0, 0.9, None, 1.0, 0.0]
    kept = list(chosen(rows, answers, totals, least=1.0))
    assert [row["messages"][-1]["content"] for row in kept] == ["x", "y"]
    assert [row["messages"][0]["content"] for row in kept] == ["a", "b"]


def test_the_stage_learns_its_best_answers_and_says_so(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    run = stages.get("rejection-sampling").run
    first = run(pocket_base, StageContext(tmp_path / "a"), **SETTINGS)
    again = run(pocket_base, StageContext(tmp_path / "b"), **SETTINGS)
    assert first.digest == again.digest != pocket_base.digest
    lineage = json.loads((first.path / "waterbed.json").read_text(encoding="utf-8"))
    lines = (tmp_path / "a.metrics.jsonl").read_text(encoding="utf-8").splitlines()
    told = next(line for line in map(json.loads, lines) if "kept" in line)
    assert lineage["data"][BEST]["rows"] == round(32 * told["kept"]) > 0
    assert lineage["stage"] == "rejection-sampling"


def test_where_nothing_earns_enough_the_stage_says_what_to_lower(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="No answer to 32 prompts earned 2; lower least"):
        stages.get("rejection-sampling").run(
            pocket_base, StageContext(tmp_path / "a"), least=2.0, **SETTINGS
        )
