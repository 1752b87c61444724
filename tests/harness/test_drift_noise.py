"""The A/A noise floor is measured on real answers, kept, found again, and never assumed."""

from __future__ import annotations

from pathlib import Path

import pytest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.drift import measure_drift
from waterbed.harness.drift_noise import load_aa, measure_aa
from waterbed.harness.errors import StoreError
from waterbed.harness.run import Run

SUITES = ["pocket/math", "pocket/tools"]
SAMPLED = {"temperature": 1.0}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, pocket_base: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, once the pocket base has come out of the shared one."""
    monkeypatch.setenv("WATERBED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_greedy_model_is_held_against_itself_with_another_batch_size(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    floor = measure_aa(
        pocket_base, SUITES, tmp_path / "aa", options={"batch_size": 16, "threads": 1}, limit=40
    )
    assert floor.source == "greedy, batch sizes 16 and 8"
    sizes = [
        Run.open(tmp_path / "aa" / side).manifest["backend"]["batch_size"]
        for side in ("first", "again")
    ]
    assert sizes == [16, 8]
    assert set(floor.noise) == set(SUITES)
    for figures in floor.noise.values():
        assert figures["churn"].n == 40
        # Float32 on one machine: seen are 0 flips of 40; a few near ties may fall otherwise elsewhere.
        assert figures["churn"].change <= 0.05
        assert figures["churn"].se > 0.0


def test_a_sampled_model_churns_and_its_floor_serves_the_runs_decoded_alike(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    options = {"batch_size": 40, "threads": 1}
    floor = measure_aa(
        pocket_base, SUITES, tmp_path / "aa", options=options, settings=SAMPLED, limit=40
    )
    assert floor.source == "sampled twice (1 repeats each, batch size 40)"
    churn = floor.noise["pocket/math"]["churn"]
    assert churn.change > 0.05
    runs = [
        waterbed.evaluate(
            pocket_base,
            ["pocket/math"],
            tmp_path / name,
            options=options,
            settings=settings,
            limit=40,
            seed=seed,
        )
        for name, settings, seed in (("a", SAMPLED, 0), ("greedy", None, 0))
    ]
    found = load_aa(runs[0])
    assert (found.noise["pocket/math"], found.lacking) == (floor.noise["pocket/math"], ())
    assert found.source == floor.source
    assert load_aa(runs[0], ["pocket/math", "pocket/code"]).lacking == ("pocket/code",)
    assert load_aa(runs[1]).lacking == ("pocket/math",)  # decoded otherwise: another floor
    drift = measure_drift(runs[0], runs[0], found.noise, noise_source=found.source)
    assert drift.row("churn").counts
    assert drift.row("churn").noise == churn


def test_a_damaged_floor_is_none_and_a_cache_that_cannot_be_written_is_an_error(
    pocket_base: Checkpoint, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"batch_size": 32, "threads": 1}
    measure_aa(pocket_base, ["pocket/math"], tmp_path / "aa", options=options, limit=30)
    run = Run.open(tmp_path / "aa" / "first")
    (kept,) = (cache / "aa").iterdir()
    whole = kept.read_text()
    assert load_aa(run).lacking == ()
    for damaged in (whole[:50], whole.replace('"n": 30', '"n": -1'), "[]", '{"figures": []}'):
        kept.write_text(damaged)
        assert load_aa(run).lacking == ("pocket/math",), damaged
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("WATERBED_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="WATERBED_CACHE"):
        measure_aa(pocket_base, ["pocket/math"], tmp_path / "aa", options=options, limit=30)
