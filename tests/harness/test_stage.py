"""The stage contract without training: settings by keyword and file, work folders, metrics, dry runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from waterbed.harness.errors import ConfigError, UnknownName, UsageError
from waterbed.harness.stage import Stage, StageContext
from waterbed.harness.stage_config import from_settings, from_yaml, to_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    rank: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    data: dict[str, int | None]
    rate: float = 0.1
    inner: Inner | None = None
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate must be above 0, got {self.rate}")


def nothing(checkpoint, config, context):
    return config


STAGE = Stage("none", Settings, nothing)


def test_settings_survive_yaml(tmp_path: Path) -> None:
    made = from_settings(Settings, {"data": {"a": None}, "inner": {"rank": 2}}, "none")
    file = tmp_path / "s.yaml"
    file.write_text(to_yaml(made), encoding="utf-8")
    assert from_yaml(Settings, file) == made
    assert made.inner == Inner(rank=2)


def test_an_unknown_setting_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="setting of stage 'none' 'rates'; did you mean 'rate'"):
        STAGE.run(None, StageContext(tmp_path / "o"), data={}, rates=1)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"data": {"a": "x"}}, r"'data.a': .* \(got 'x'\)"),
        ({"data": {}, "rate": -1}, "rate must be above 0, got -1"),
        ({"data": {}, "inner": {"range": 3}}, r"inner.range"),
        ({}, "'data': Field required"),
    ],
)
def test_a_refused_value_is_named(tmp_path: Path, settings, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        STAGE.run(None, StageContext(tmp_path / "o"), **settings)


def test_a_refused_value_of_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("data: {}\nrate: fast\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"s\.yaml:2: 'rate'"):
        from_yaml(Settings, file)


def test_metrics_after_the_step_gone_on_from_are_dropped_and_torn_lines_too(tmp_path: Path) -> None:
    context = StageContext(tmp_path / "o")
    for step in range(4):
        context.metric(step, loss=1.0)
    with context.metrics_path.open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "lo')
    context.rewind(1)
    lines = context.metrics_path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]


@pytest.mark.parametrize("other", [{"seed": 1}, {"threads": 2}, {"device": "cuda"}])
def test_work_of_another_context_is_not_gone_on_from(tmp_path: Path, other) -> None:
    (StageContext(tmp_path / "o").begin(["a"]) / "state").touch()
    assert not (StageContext(tmp_path / "o", **other).begin(["a"]) / "state").exists()


def test_a_stage_without_a_dry_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'none' has no dry run; run it"):
        STAGE.plan(None, StageContext(tmp_path / "o"), data={})
