"""The demo writes a recipe that can be read and run, and tells each decision of its loop once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.cli.app import main
from waterbed.harness.cli.demo import Teller
from waterbed.harness.cli.demo_recipe import POLICY, POLICY_FILE, RECIPE_FILE, STORY, recipe
from waterbed.harness.loop import loop
from waterbed.harness.recipe import Recipe

HARMLESS, RUINOUS = 0.001, 0.9


@pytest.fixture(params=[True, False], ids=["quick", "whole"])
def written(
    request: pytest.FixtureRequest, pocket_base: Checkpoint, tmp_path: Path
) -> tuple[Path, bool]:
    """A demo's recipe beside its policy, and whether it is the quick one."""
    folder = tmp_path / "it's a demo"
    folder.mkdir()
    (folder / POLICY_FILE).write_text(POLICY)
    file = folder / RECIPE_FILE
    file.write_text(recipe(pocket_base.path, folder, seed=3, quick=request.param))
    return file, request.param


def test_its_recipe_is_one_that_the_loop_accepts(written: tuple[Path, bool]) -> None:
    file, quick = written
    read = Recipe.load(file)
    assert read.seed == 3
    assert [step.name for step in read.stages] == (["maths"] if quick else list(STORY))
    assert read.rules().require is not None


def test_its_quick_recipe_is_how_the_whole_one_begins(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    quick, whole = (
        yaml.safe_load(recipe(pocket_base.path, tmp_path, seed=0, quick=q)) for q in (True, False)
    )
    assert whole["stages"][:1] == quick["stages"]
    assert {**whole, "stages": ()} == {**quick, "stages": ()}


def test_it_leaves_a_changed_recipe_alone(
    pocket_base: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / RECIPE_FILE).write_text("stages: []\n")
    with pytest.raises(SystemExit) as left:
        main(["demo", "--out", str(tmp_path)])
    assert left.value.code == 2
    assert "run it with `waterbed loop`" in capsys.readouterr().err
    assert (tmp_path / RECIPE_FILE).read_text() == "stages: []\n"


def test_it_says_before_any_training_what_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llmcompressor", None)  # so Python marks what cannot be found
    with pytest.raises(SystemExit) as left:
        main(["demo", "--out", str(tmp_path)])
    assert left.value.code == 2
    assert "pip install 'waterbed[train,compress]', or pass --quick" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_it_tells_each_decision_in_one_line_and_once(
    recipe: Callable[..., Path],
    noisy: Callable[..., dict[str, object]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = [
        noisy(
            "maths",
            RUINOUS,
            target="knowledge",
            on_red="retry",
            retry=[{"lr": HARMLESS}],
        ),
        noisy("chat", RUINOUS, on_red="rollback"),
    ]
    out, file = tmp_path / "out", recipe(steps)
    teller = Teller(out)
    loop(file, out, watching=teller.watching, told=teller.told)
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if not line.startswith("evaluate ")]
    assert [line.split(":")[0] for line in told] == [
        "maths",
        "  red   maths.1",
        "  green maths.2",
        "chat",
        "  red   chat.1",
    ]
    assert "lost knowledge -" in told[1] and told[1].endswith("by the recipe: retry.")
    assert "no loss shown" in told[2] and "accepted" in told[2]
    assert told[4].endswith("by the recipe: rollback.")
    assert (out / "lineage.html").is_file()
