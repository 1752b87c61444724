"""What each way of quantizing does to the pocket base, in every domain, with its size and speed.

Two minutes a seed on a quiet core. Every row is printed, whichever way it fell. The seed chooses the
calibration rows; methods without data have one row. A toy model: the figures say nothing about real ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import DOMAINS
from waterbed.harness.stage import StageContext, stages

pytestmark = pytest.mark.study

ROWS = {"data": {"pocket/pretrain@train": 256}}
FREE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("int8-dynamic", {}),
    ("fp8", {}),
    *(("rtn", {"bits": bits}) for bits in (8, 4, 3)),
)
CALIBRATED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("int8-static", ROWS),
    ("smoothquant", ROWS),
    ("gptq", {**ROWS, "bits": 4}),
    ("gptq", {**ROWS, "bits": 3}),
)


class Table:
    """Checkpoints, their Runs and verdicts against the base, each made once and printed."""

    def __init__(self, base: Checkpoint, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.base, self.folder, self.capsys = base, folder, capsys

    def run(self, checkpoint: Checkpoint, name: str) -> Path:
        """All domains on the test split."""
        out = self.folder / f"{name}.run"
        if not (out / "results.json").is_file():
            waterbed.evaluate(str(checkpoint.path), suites=["pocket"], out=str(out))
        return out

    def row(self, stage: str, settings: dict[str, Any], seed: int = 0) -> Any:
        """Quantize, evaluate, gate and print; returns the verdict's domains by id."""
        name = f"{stage}-{settings.get('bits', 8)}-{seed}"
        out = self.folder / name
        if out.exists():
            made = waterbed.Checkpoint(out, "")
        else:
            made = stages.get(stage).run(self.base, StageContext(out, seed=seed), **settings)
        after = self.run(made, name)
        verdict = waterbed.gate(self.run(self.base, "base"), after)
        domains = verdict.domains
        self.show(name, self.percent(after), made.path, domains)
        return {"percent": self.percent(after), "domains": domains}

    def percent(self, run: Path) -> dict[str, float]:
        found = json.loads((run / "results.json").read_text(encoding="utf-8"))
        means = {d: found[f"pocket/{d}"]["metrics"]["correct"]["mean"] for d in DOMAINS}
        return {domain: 100 * mean for domain, mean in means.items()}

    def show(self, name: str, percent: dict[str, float], made: Path, domains: Any) -> None:
        """A row of the table: right answers, bits, bytes, speed, and what the gate says."""
        achieved = json.loads((made / "waterbed.json").read_text(encoding="utf-8"))["achieved"]
        after = achieved["after"]
        size = after["bytes_on_disk"] / achieved["before"]["bytes_on_disk"]
        red = [found.id for found in domains.values() if found.badge == "fail"]
        cells = [f"{domain} {value:5.1f}" for domain, value in percent.items()]
        cells += [f"{after['bits_per_weight']:5.2f} bits", f"{size:.2f} x bytes"]
        cells += [f"decode {achieved['speed']['decode']['ratio']:.2f} x (unpacked)"]
        with self.capsys.disabled():
            print(f"\n{name:16}", *cells, f"red: {', '.join(red) or 'none'}", sep=" | ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantized")


@pytest.fixture
def table(pocket_base: Checkpoint, folder: Path, capsys: pytest.CaptureFixture[str]) -> Table:
    return Table(pocket_base, folder, capsys)


@pytest.mark.parametrize(("stage", "settings"), FREE)
def test_eight_bits_lose_nothing_that_shows_and_fewer_lose_maths(
    table: Table, stage: str, settings: dict[str, Any]
) -> None:
    found = table.row(stage, settings)["domains"]
    red = {domain.id for domain in found.values() if domain.badge == "fail"}
    if settings.get("bits", 8) == 8:
        assert not red
    else:
        assert "math" in red


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("stage", "settings"), CALIBRATED)
def test_what_calibration_rows_give(
    table: Table, stage: str, settings: dict[str, Any], seed: int
) -> None:
    found = table.row(stage, settings, seed)
    if "bits" not in settings:
        assert not [domain.id for domain in found["domains"].values() if domain.badge == "fail"]
        return
    rounded = table.row("rtn", {"bits": settings["bits"]})
    # One point: about the noise of seven times 1,000 items.
    assert sum(found["percent"].values()) / 7 >= sum(rounded["percent"].values()) / 7 - 1
