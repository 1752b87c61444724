"""What each compression stage costs a fine-tuned pocket model, in every domain, on the test split.

The model is the pocket base after maths SFT on 14,000 rows with replay, per seed; each row is made from
it. Beside the domains stand size on disk, sparsity of the inner matrices, bits a weight and speed
against the model before (transformers, one thread, in one run). Printed whichever way it fell; what is
asserted is what each method is for. A toy model: the figures say nothing about real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import DOMAINS
from waterbed.harness.stage import StageContext, stages
from waterbed.suites.pocket.base import base_checkpoint, replay

pytestmark = pytest.mark.study

#: Rows that heal and teach: the mixture the model was tuned on, other rows of it.
DATA = {"pocket/math@train": 6000, **replay(8000, besides="math")}
CALIBRATION = {"pocket/math@train": 64, "pocket/pretrain@train": 192}
HALF: dict[str, Any] = {"sparsity": 0.5}
SMALLER: dict[str, Any] = {"data": CALIBRATION, "neurons": 0.5, "groups": 0.5}
FRESH = {
    "num_hidden_layers": 3,
    "hidden_size": 48,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
#: Name, then stages with their settings, each made from the one before.
METHODS: Mapping[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "magnitude 50%": (("prune", HALF),),
    "magnitude 50% global": (("prune", {**HALF, "scope": "global"}),),
    "magnitude 2:4": (("prune", {"scope": "2:4"}),),
    "magnitude 50% + logits": (
        ("prune", HALF),
        ("distill", {"data": DATA, "teacher": "TUNED"}),
    ),
    "prune-heal 50% in 3 rounds": (("prune-heal", {"data": DATA, **HALF}),),
    "Wanda 50%": (("prune-calibrated", {**HALF, "rule": "wanda", "data": CALIBRATION}),),
    "SparseGPT 50%": (("prune-calibrated", {**HALF, "rule": "sparsegpt", "data": CALIBRATION}),),
    "SparseGPT 2:4": (
        (
            "prune-calibrated",
            {**HALF, "rule": "sparsegpt", "two_four": True, "data": CALIBRATION},
        ),
    ),
    "structured 1/2": (("prune-structured", SMALLER),),
    "structured 1/2 + logits": (
        ("prune-structured", SMALLER),
        ("distill", {"data": DATA, "teacher": "TUNED"}),
    ),
    "fresh student, logits": (("distill", {"data": DATA, "student": FRESH}),),
    "fresh student, logits + features": (
        ("distill", {"data": DATA, "student": FRESH, "teaching": {"features": 1.0}}),
    ),
}

Row = dict[str, float]


def figures(checkpoint: Checkpoint, out: Path) -> Row:
    """Percent right in every domain, 1,000 distinct test items each (knowledge has fewer)."""
    waterbed.evaluate(str(checkpoint.path), suites=["pocket"], out=str(out))
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return {d: 100 * found[f"pocket/{d}"]["metrics"]["correct"]["mean"] for d in DOMAINS}


def achieved(checkpoint: Checkpoint) -> Row:
    """Size, sparsity, bits and speed that the last stage recorded."""
    found = json.loads((checkpoint.path / "waterbed.json").read_text(encoding="utf-8"))["achieved"]
    after, speed = found["after"], found["speed"]
    return {
        "kB": after["bytes_on_disk"] / 1000,
        "nonzero k": (after["nonzero_parameters"] or 0) / 1000,
        "sparsity": 100 * (after["sparsity"] or 0),
        "bits": after["bits_per_weight"],
        "prefill x": speed["prefill"]["ratio"],
        "decode x": speed["decode"]["ratio"],
        "noisy": speed["noisy"],
    }


@pytest.fixture(scope="module", params=[0, 1, 2])
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def tuned(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    context = StageContext(tmp_path_factory.mktemp("tuned") / "sft", seed=seed)
    data = {"pocket/math@train": 14_000, **replay(8000, besides="math")}
    return stages.get("sft").run(base_checkpoint(seed=seed), context, data=data)


@pytest.fixture(scope="module")
def row(
    tuned: Checkpoint, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Row]:
    """The figures of a method by name, made once."""
    found: dict[str, Row] = {}
    folder = tmp_path_factory.mktemp("made")

    def of(name: str) -> Row:
        if name not in found:
            made, place = tuned, folder / str(len(found))
            for step, (stage, settings) in enumerate(METHODS.get(name, ())):
                given = {k: str(tuned.path) if v == "TUNED" else v for k, v in settings.items()}
                context = StageContext(place.with_name(f"{place.name}-{step}"), seed=seed)
                made = stages.get(stage).run(made, context, **given)
            sizes = achieved(made) if made is not tuned else {}
            found[name] = {**figures(made, place), **sizes}
            cells = (f"{key} {value:.4g}" for key, value in found[name].items())
            print(f"\ncompression, seed {seed}, {name} (toy model): {'; '.join(cells)}", flush=True)
        return found[name]

    return of


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_measured_in_every_domain(row: Callable[[str], Row], name: str) -> None:
    assert set(DOMAINS) <= set(row(name))


def test_half_the_weights_gone_by_magnitude_cost_maths_dear(row: Callable[[str], Row]) -> None:
    assert row("magnitude 50%")["math"] < row("before")["math"] - 15


def test_distillation_brings_back_over_half_of_what_pruning_lost(
    row: Callable[[str], Row],
) -> None:
    before, pruned = row("before")["math"], row("magnitude 50%")["math"]
    assert row("magnitude 50% + logits")["math"] > (before + pruned) / 2
    assert row("magnitude 50% + logits")["sparsity"] >= 49.9


def test_a_structured_model_is_smaller_on_disk_and_faster(row: Callable[[str], Row]) -> None:
    small, dense = row("structured 1/2"), row("magnitude 50%")
    assert small["kB"] < 0.8 * dense["kB"]
    assert small["prefill x"] > 1.1
