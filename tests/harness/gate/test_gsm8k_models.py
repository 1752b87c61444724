"""The gate on real answers: four models of the GSM8K authors on its 1319 test problems.

Labels (`is_correct`) are the authors' own, from example_model_solutions.jsonl.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.gate import gate_runs
from waterbed.harness.policy import Policy

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
FILE = Path(os.environ.get("WATERBED_DATA", "")) / "gsm8k" / "example_model_solutions.jsonl"

pytestmark = pytest.mark.skipif(
    "WATERBED_DATA" not in os.environ or not FILE.is_file(),
    reason="needs WATERBED_DATA/gsm8k/example_model_solutions.jsonl",
)


@pytest.fixture(scope="module")
def models(run: Callable[..., Any]) -> dict[str, Any]:
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 1319
    return {m: run(m, math=[float(row[m]["is_correct"]) for row in rows]) for m in MODELS}


def test_the_small_model_after_the_large_one_is_red(models: dict[str, Any]) -> None:
    verdict = gate_runs(models["175b_verification"], models["6b_finetuning"], Policy())
    assert verdict.exit_code == 1
    assert verdict.domains["math"].badge == "fail"


def test_the_large_model_after_the_small_one_is_not_red_and_its_gain_is_real(
    models: dict[str, Any],
) -> None:
    verdict = gate_runs(
        models["6b_finetuning"], models["175b_verification"], Policy(), target="math"
    )
    assert verdict.exit_code == 0
    assert "gain" in verdict.domains["math"].flags


@pytest.mark.parametrize("model", MODELS)
def test_no_model_is_red_against_itself(models: dict[str, Any], model: str) -> None:
    assert gate_runs(models[model], models[model], Policy()).exit_code == 0


def test_of_each_two_models_exactly_one_direction_is_red(models: dict[str, Any]) -> None:
    red = {
        pair
        for pair in permutations(MODELS, 2)
        if gate_runs(models[pair[0]], models[pair[1]], Policy()).exit_code == 1
    }
    assert len(red) == 6
    assert not any((new, old) in red for old, new in red)


def test_a_hundred_problems_decide_nothing_between_near_models_under_strict(
    models: dict[str, Any],
) -> None:
    late = [str(i) for i in range(100, 1319)]
    near = [models[m].without_items("math", late) for m in ("6b_verification", "175b_finetuning")]
    for old, new in (near, near[::-1]):
        verdict = gate_runs(old, new, Policy(name="strict"))
        assert verdict.exit_code == 3
        assert verdict.warnings == (
            "math: 100 of 1319 items were run (limit).",
            (
                "math: 26.0% of the items changed, more than the 10.0% planned with; losses below 14 "
                "points could not be seen."
            ),
        )
