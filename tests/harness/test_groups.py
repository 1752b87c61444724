"""Groups say what they hold, what they cost, and what a gate on them could see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from waterbed import evaluate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.cli.app import app
from waterbed.harness.groups import Member, members

SUITE = '''
from waterbed import Sample, Score, task
from waterbed.harness.tasks import Card
from waterbed.harness.records import GenerationSettings, user

@task("groups/{name}", domain="math", groups=("{group}",), repeats={repeats},
      settings=GenerationSettings(max_tokens=7), card=Card("", verified="{verified}"))
class Mine:
    """Mine."""
    def samples(self):
        return [Sample(str(n), "Two words, please.") for n in range({items})]
    def prompt(self, sample):
        return user(sample.input)
    def grade(self, sample, generation):
        return Score(1.0)
'''


def registered(
    folder: Path, name: str, *, items: int, repeats: int = 1, verified: str = "against itself"
) -> str:
    """A task in a group of its own name."""
    from waterbed.harness.tasks import resolve

    file = folder / f"{name}.py"
    text = SUITE.format(name=name, group=name, items=items, repeats=repeats, verified=verified)
    file.write_text(text)
    resolve([str(file)])
    return str(file)


def of(group: str, found: list[Member]) -> Member:
    (member,) = [m for m in found if m.group == group]
    return member


def test_tokens_are_counted_from_the_items_and_bounded_by_the_tasks_limit(tmp_path: Path) -> None:
    registered(tmp_path, "counted", items=600, repeats=2)
    member = of("counted", members())
    assert (member.items, member.answers) == (600, 1200)
    assert member.prompt_tokens == 1200 * len(["Two", "words", ",", "please", "."])
    assert member.answer_tokens == 1200 * 7
    assert not member.measured


def test_more_items_see_a_smaller_loss_and_too_few_or_unverified_ones_none(tmp_path: Path) -> None:
    for name, items in (("many", 2000), ("some", 300), ("lone", 3)):
        registered(tmp_path, name, items=items)
    registered(tmp_path, "blind", items=2000, verified="unverified: nothing compared")
    found = members()
    seen = {name: of(name, found).detectable for name in ("many", "some", "lone", "blind")}
    assert 0 < seen["many"]["math"] < seen["some"]["math"] < 1  # type: ignore[index]
    assert seen["lone"] == seen["blind"] == {}


def test_a_stored_run_tells_what_answers_really_take(
    tmp_path: Path, pocket_base: Checkpoint
) -> None:
    file = registered(tmp_path, "ran", items=12)
    run = evaluate(pocket_base, [file], tmp_path / "run", limit=6)
    spent = run.generations()
    member = of("ran", members([run]))
    assert member.measured
    assert member.answer_tokens == 2 * spent["completion_tokens"].sum()
    assert member.prompt_tokens == 2 * spent["prompt_tokens"].sum()


def test_the_command_lists_every_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["list", "groups", str(tmp_path), "--json"])
    assert ended.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"smoke", "core", "full", "pocket"} <= {row["group"] for row in rows}
    pocket = [row for row in rows if row["group"] == "pocket"]
    assert all(row["items"] == 1000 and row["losses"] for row in pocket)
