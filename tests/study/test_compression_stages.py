"""What each compression stage costs a fine-tuned pocket model, in every domain, on the test split.

The model is the pocket base after maths SFT on 14,000 rows with replay, one a seed; each row is made from
it and gated against it, without a target. Beside the domains stand size on disk, sparsity of the inner
matrices, bits a weight, speed against the model before (transformers, which unpacks weights; one thread,
in one run; `~` where the repeats scatter), and what the gate says. Rows are printed as Markdown,
whichever way they fell; compression.md keeps them. What is asserted is what each method is for. The seed
chooses the base, the rows of the SFT and of the calibration. A toy model: the figures say nothing about
real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import DOMAINS
from waterbed.harness.run import Run
from waterbed.harness.stage import StageContext, stages
from waterbed.suites.pocket.base import base_checkpoint, replay

pytestmark = pytest.mark.study

#: What the model is tuned on, and other rows of the same for stages that heal and teach.
TUNING = {"pocket/math@train": 14_000, **replay(8000, besides="math")}
DATA = {"pocket/math@train": 6000, **replay(8000, besides="math")}
#: Rows of every domain that calibrate, and others on which `choose` compares losses.
ROWS: dict[str, Any] = {"data": {"pocket/math@train": 64, "pocket/pretrain@train": 192}}
DEV = {"pocket/math@dev": 200, "pocket/pretrain@dev": 800}
HALF: dict[str, Any] = {"sparsity": 0.5}
SMALLER: dict[str, Any] = {**ROWS, "neurons": 0.5, "groups": 0.5}
FRESH = {
    "num_hidden_layers": 3,
    "hidden_size": 48,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
Steps = tuple[tuple[str, dict[str, Any]], ...]
QUANTIZED: Mapping[str, Steps] = {
    "int8 dynamic": (("int8-dynamic", {}),),
    "int8 static": (("int8-static", ROWS),),
    "SmoothQuant int8": (("smoothquant", ROWS),),
    "fp8": (("fp8", {}),),
    "rtn 4": (("rtn", {"bits": 4}),),
    "rtn 4, 4 of 16 parts kept": (("rtn", {**ROWS, "bits": 4, "keep_most_sensitive": 4}),),
    "GPTQ 4": (("gptq", {**ROWS, "bits": 4}),),
    "rtn 3": (("rtn", {"bits": 3}),),
    "GPTQ 3": (("gptq", {**ROWS, "bits": 3}),),
}
PRUNED: Mapping[str, Steps] = {
    "magnitude 50%": (("prune", HALF),),
    "Wanda 50%": (("prune-calibrated", {**HALF, **ROWS, "rule": "wanda"}),),
    "SparseGPT 50%": (("prune-calibrated", {**HALF, **ROWS, "rule": "sparsegpt"}),),
    "SparseGPT 2:4": (
        ("prune-calibrated", {**HALF, **ROWS, "rule": "sparsegpt", "two_four": True}),
    ),
    "structured 1/2": (("prune-structured", SMALLER),),
}
#: `TUNED` and `BASE` stand for the folders of those models.
HEALED: Mapping[str, Steps] = {
    "magnitude 50% + logits": (("prune", HALF), ("distill", {"data": DATA, "teacher": "TUNED"})),
    "prune-heal 50% in 3 rounds": (("prune-heal", {"data": DATA, **HALF}),),
    "structured 1/2 + logits": (
        ("prune-structured", SMALLER),
        ("distill", {"data": DATA, "teacher": "TUNED"}),
    ),
    "fresh student, logits": (("distill", {"data": DATA, "student": FRESH}),),
    "fresh student, logits + features": (
        ("distill", {"data": DATA, "student": FRESH, "teaching": {"features": 1.0}}),
    ),
}
#: `SECOND` is a second SFT of the same base, on other rows and in another order.
MIXED: Mapping[str, Steps] = {
    "WiSE-FT, 1/4 base": (("interpolate", {"other": "BASE", "alpha": 0.25}),),
    "WiSE-FT, 1/2 base": (("interpolate", {"other": "BASE", "alpha": 0.5}),),
    "average with a second SFT": (("average", {"others": ["SECOND"]}),),
    "choose of tuned, second, base": (("choose", {"others": ["SECOND", "BASE"], "data": DEV}),),
}
METHODS = {**QUANTIZED, **PRUNED, **HEALED, **MIXED}
COLUMNS = ("method", "seed", *DOMAINS, "kB", "sparsity", "bits", "prefill", "decode", "gate", "red")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    percent: Mapping[str, float]
    """Right answers by domain, 1,000 distinct test items each (knowledge has fewer)."""
    red: frozenset[str]
    """Domains with a loss that the gate proved, and `mean` where it is that."""
    outcome: str
    achieved: Mapping[str, Any]
    """What the last stage recorded; empty for a model as it was."""

    @property
    def mean(self) -> float:
        """Over the domains."""
        return sum(self.percent.values()) / len(self.percent)

    def line(self, name: str, seed: int) -> str:
        """As Markdown."""
        after, speed = self.achieved.get("after", {}), self.achieved.get("speed")
        cells = [name, str(seed), *(f"{self.percent[domain]:.1f}" for domain in DOMAINS)]
        cells += [f"{after['bytes_on_disk'] / 1000:.0f}" if after else ""]
        cells += [f"{100 * after['sparsity']:.0f}" if after.get("sparsity") is not None else ""]
        cells += [f"{after['bits_per_weight']:.1f}" if after else ""]
        for phase in ("prefill", "decode"):
            noisy = "~" if speed and speed["noisy"] else ""
            cells += [f"{noisy}{speed[phase]['ratio']:.2f}" if speed else ""]
        return f"| {' | '.join([*cells, self.outcome, ', '.join(sorted(self.red))])} |"


def evaluated(checkpoint: Checkpoint, out: Path) -> Run:
    options = {"device": "cpu", "threads": 1, "batch_size": 256}
    return waterbed.evaluate(checkpoint, ["pocket"], out, options=options)


def row_of(made: Checkpoint, run: Run, before: Run) -> Row:
    found = json.loads((run.path / "results.json").read_text(encoding="utf-8"))
    verdict = waterbed.gate(before, run)
    red = {domain.id for domain in verdict.domain_list if domain.badge == "fail"}
    if verdict.pooled and verdict.pooled.badge == "fail":
        red.add("mean")
    lineage = json.loads((made.path / "waterbed.json").read_text(encoding="utf-8"))
    return Row(
        {d: 100 * found[f"pocket/{d}"]["metrics"]["correct"]["mean"] for d in DOMAINS},
        frozenset(red),
        verdict.outcome,
        lineage.get("achieved", {}),
    )


class Table:
    """Rows of one seed, each made once and printed."""

    def __init__(self, seed: int, folder: Path, show: Callable[[str], None]) -> None:
        self.seed, self.folder, self.show = seed, folder, show
        base = base_checkpoint(seed=seed)
        self.models = {"BASE": base, "TUNED": self.sft("tuned", base, seed)}
        self.before = evaluated(self.models["TUNED"], folder / "tuned.run")
        self.rows = {"before": row_of(self.models["TUNED"], self.before, self.before)}
        show(self.rows["before"].line("before", seed))

    def sft(self, name: str, base: Checkpoint, seed: int) -> Checkpoint:
        context = StageContext(self.folder / name, seed=seed)
        return stages.get("sft").run(base, context, data=TUNING)

    def given(self, value: Any) -> Any:
        """A setting with folders in place of the names of models."""
        if isinstance(value, list):
            return [self.given(each) for each in value]
        if value == "SECOND" and value not in self.models:
            self.models[value] = self.sft("second", self.models["BASE"], self.seed + 100)
        return str(self.models[value].path) if value in ("BASE", "TUNED", "SECOND") else value

    def __getitem__(self, name: str) -> Row:
        if name not in self.rows:
            made, place = self.models["TUNED"], self.folder / str(len(self.rows))
            for step, (stage, settings) in enumerate(METHODS[name]):
                given = {key: self.given(value) for key, value in settings.items()}
                context = StageContext(place.with_name(f"{place.name}-{step}"), seed=self.seed)
                made = stages.get(stage).run(made, context, **given)
            run = evaluated(made, place.with_name(f"{place.name}.run"))
            self.rows[name] = row_of(made, run, self.before)
            self.show(self.rows[name].line(name, self.seed))
        return self.rows[name]


@pytest.fixture(scope="module", params=[0, 1, 2])
def table(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    show: Callable[[str], None],
) -> Table:
    show(f"| {' | '.join(COLUMNS)} |")
    return Table(request.param, tmp_path_factory.mktemp("compression"), show)


@pytest.mark.parametrize("name", ["int8 dynamic", "int8 static", "SmoothQuant int8"])
def test_eight_bits_lose_nothing_that_the_gate_sees(table: Table, name: str) -> None:
    assert not table[name].red


def test_four_bits_rounded_to_the_nearest_lose_maths(table: Table) -> None:
    assert "math" in table["rtn 4"].red


@pytest.mark.parametrize("bits", [4, 3])
def test_gptq_is_not_worse_than_rounding_to_the_nearest(table: Table, bits: int) -> None:
    # One point: about the noise of seven times 1,000 items.
    assert table[f"GPTQ {bits}"].mean >= table[f"rtn {bits}"].mean - 1


def test_the_most_sensitive_parts_kept_lose_less_than_none_kept(table: Table) -> None:
    assert table["rtn 4, 4 of 16 parts kept"].mean > table["rtn 4"].mean


def test_half_the_weights_gone_by_magnitude_lose_maths(table: Table) -> None:
    assert "math" in table["magnitude 50%"].red


def test_distillation_brings_back_over_half_of_what_pruning_lost(table: Table) -> None:
    before, pruned = table["before"].percent["math"], table["magnitude 50%"].percent["math"]
    healed = table["magnitude 50% + logits"]
    assert healed.percent["math"] > (before + pruned) / 2
    assert healed.achieved["after"]["sparsity"] >= 0.499


def test_a_structured_model_is_smaller_on_disk_and_faster(table: Table) -> None:
    small = table["structured 1/2"].achieved
    assert small["after"]["bytes_on_disk"] < 0.8 * small["before"]["bytes_on_disk"]
    assert small["speed"]["prefill"]["ratio"] > 1.1


def test_the_model_chosen_on_dev_rows_is_not_the_base(table: Table) -> None:
    assert table["choose of tuned, second, base"].mean > table["before"].mean - 1


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_measured_in_every_domain(table: Table, name: str) -> None:
    assert set(DOMAINS) == set(table[name].percent)
