"""Calibration rows: recorded and traced like rows that were trained on, whatever stage looks at them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waterbed.harness.contamination_trace import Trace
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages

ROWS = {"pocket/math@train": 6, "pocket/chat-replay@train": 2}
STAGES: dict[str, dict[str, Any]] = {
    "int8-static": {},
    "rtn": {"keep_most_sensitive": 1},
    "prune-calibrated": {"rule": "wanda"},
    "prune-structured": {"neurons": 0.5},
}


@pytest.mark.parametrize("stage", STAGES)
def test_rows_that_a_stage_looks_at_are_recorded_and_traced(pocket_base, tmp_path, stage):
    settings = {**STAGES[stage], "data": ROWS, "timing": {"repeats": 0}}
    made = stages.get(stage).run(pocket_base, StageContext(tmp_path / "out"), **settings)
    lineage = json.loads((made.path / "waterbed.json").read_text(encoding="utf-8"))
    assert {name: told["rows"] for name, told in lineage["data"].items()} == ROWS
    before, after = Trace.load(pocket_base.path), Trace.load(made.path)
    assert before and after and after.rows == before.rows + sum(ROWS.values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_test_split_calibrates_nothing(pocket_base, tmp_path, stage):
    settings = {**STAGES[stage], "data": {"pocket/math@test": 6}}
    with pytest.raises(UsageError, match="is a test split"):
        stages.get(stage).run(pocket_base, StageContext(tmp_path / "out"), **settings)
