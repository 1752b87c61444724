"""A recipe is checked as a whole before anything runs: each mistake with its line and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from waterbed.harness.errors import ConfigError
from waterbed.harness.recipe import Recipe

GOOD = """\
suites: [pocket]
stages:
  - name: maths
    stage: sft
    target: math
    settings:
      data: {pocket/math@train: 6000}
    on_red: repair
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Recipe.load(file)
    return [line.replace(f"{file}:", "") for line in str(caught.value).splitlines()]


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(GOOD)
    step = Recipe.load(file).stages[0]
    assert (step.on_red, step.on_inconclusive, step.otherwise) == ("repair", "stop", "stop")
    training, compression = ("interpolate", "earlier", "gentler"), ("keep", "heal", "lighter")
    assert step.repair == ("replay", *compression, *training)


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("suites", "suits", 1, "unknown key 'suits'; did you mean 'suites'?"),
        ("target: math", "traget: math", 5, "unknown key 'traget'; did you mean 'target'?"),
        ("stage: sft", "stage: stf", 4, "There is no stage 'stf'; did you mean 'sft'?"),
        ("target: math", "target: maths", 5, "there is no domain 'maths'; did you mean 'math'?"),
        ("on_red: repair", "on_red: heal", 8, "'stages.0.on_red' should be 'stop'"),
        ("on_red: repair", "on_red: retry", 3, "list the changed settings under 'retry'"),
        ("on_red: repair", "retry: [{rl: 1}]", 8, "setting of stage 'sft' 'rl'"),
        ("6000}", "6000}\n      epochs: -1", 6, "epochs must be above 0, got -1"),
        ("6000}", "6000}\n      lr: fast", 8, "'lr'"),
        ("6000}", "6000}\n    heal: {muon_rl: 1}", 8, "setting of stage 'distill' 'muon_rl'"),
        ("6000}", "6000}\n    heal: {data: [1]}", 8, "'data'"),
        ("[pocket]", "[pockte]", 1, "There is no suite 'pockte'; did you mean 'pocket'?"),
        ("[pocket]", "[pocket]\nreserve: [pocket/math]", 2, "is among the suites"),
        ("[pocket]", "[pocket]\nreserve: rest", 2, "set a limit"),
        ("[pocket]", "[pocket]\npolicy: lenient", 2, "There is no policy 'lenient'"),
    ],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, sentence: str
) -> None:
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(f.startswith(f"{line}: ") and sentence in f for f in found), found


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    twice = GOOD + GOOD.split("stages:\n")[1].replace("data:", "date:")
    found = problems(tmp_path, twice)
    assert any("two stages are called 'maths'" in f for f in found)
    assert any(f.startswith("13: ") and "'date'" in f for f in found), found


def test_the_digest_changes_with_the_policy_and_not_with_the_budget(tmp_path: Path) -> None:
    rules, file = tmp_path / "p.yaml", tmp_path / "r.yaml"
    rules.write_text("margins: {math: 3}\n")

    def digest(extra: str = "") -> str:
        file.write_text(f"policy: {rules}\n{extra}{GOOD}")
        return Recipe.load(file).digest

    first = digest()
    assert digest("budget: {hours: 3}\n") == first
    assert digest("seed: 1\n") != first
    rules.write_text("margins: {math: 4}\n")
    assert digest() != first
