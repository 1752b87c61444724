"""A benchmark is one class in one file; what is wrong with it is said before anything runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from waterbed import Sample, Score, task
from waterbed.harness.errors import UnknownName, UsageError
from waterbed.harness.plugins import Registry
from waterbed.harness.records import Generation, GenerationSettings, content_hash
from waterbed.harness.tasks import resolve, tasks


def write(path: Path, text: str) -> str:
    path.write_text("from waterbed import *\n" + text)
    return str(path)


SUITE = """
@task("file/{name}", domain="math", groups=["mine"])
class Mine:
    def samples(self):
        return {samples}
    def prompt(self, sample):
        return "?"
    def grade(self, sample, generation):
        return Score(1.0)
"""


def test_a_file_names_its_tasks_and_their_groups(tmp_path: Path) -> None:
    file = write(tmp_path / "s.py", SUITE.format(name="one", samples="[Sample.of('a')]"))
    assert [t.name for t in resolve([file])] == ["file/one"]
    assert [t.name for t in resolve(["mine"])] == ["file/one"]


def test_a_task_that_is_named_twice_runs_once() -> None:
    names = [t.name for t in resolve(["pocket/math", "pocket", "pocket/math"])]
    assert len(names) == len(set(names)) > 1
    assert names[0] == "pocket/math"


def test_a_file_that_cannot_be_imported_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        resolve([write(tmp_path / "s.py", "1 / 0")])
    with pytest.raises(UsageError, match="registers no suite"):
        resolve([write(tmp_path / "t.py", "x = 1")])
    with pytest.raises(UsageError, match="no file"):
        resolve([str(tmp_path / "missing.py")])


def test_a_task_without_samples_or_with_an_id_twice_is_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "a.py", SUITE.format(name="empty", samples="[]"))
    twice = write(tmp_path / "b.py", SUITE.format(name="twice", samples="[Sample.of('a')] * 2"))
    with pytest.raises(UsageError, match="no samples"):
        _ = resolve([empty])[0].items
    with pytest.raises(UsageError, match="two samples with id"):
        _ = resolve([twice])[0].items


def test_an_unknown_domain_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(UsageError, match="'maths'"):
        task("x", domain="maths")


def test_nothing_selected_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="No suite"):
        resolve([])


def test_unknown_names_suggest_groups_too() -> None:
    with pytest.raises(UnknownName, match="did you mean 'pocket'"):
        resolve(["pockets"])


def test_the_data_hash_follows_content_not_order(tmp_path: Path) -> None:
    hashes = []
    for name, samples in {
        "x": "[Sample.of('a', 1), Sample.of('b', 2)]",
        "y": "[Sample.of('b', 2), Sample.of('a', 1)]",
        "z": "[Sample.of('b', 2), Sample.of('a', 3)]",
    }.items():
        file = write(tmp_path / f"{name}.py", SUITE.format(name=name, samples=samples))
        hashes.append(resolve([file])[0].data_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_every_built_in_task_fills_its_card() -> None:
    for found in tasks.all().values():
        if found.factory.__module__.startswith("waterbed.suites"):
            card = found.card
            assert card.measures and card.source, found.name
            assert card.licence or "user's file" in card.source, found.name
            assert card.verified.startswith(("against ", "unverified: ")), found.name


def test_a_score_is_a_proportion_or_has_a_reason() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        Score(1.5)
    with pytest.raises(ValueError, match="reason"):
        Score(None)
    with pytest.raises(ValueError, match="nan"):
        Score(float("nan"))


@pytest.mark.parametrize("bad", [{"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}])
def test_settings_that_mean_nothing_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        GenerationSettings(**bad)  # type: ignore[arg-type]


def test_a_sample_has_the_same_id_in_every_process() -> None:
    assert Sample.of("a", {"b": 1, "c": 2}).id == Sample.of("a", {"c": 2, "b": 1}).id
    assert content_hash(["a", 1]) == hashlib.sha256(b'["a",1]').hexdigest()[:16]


def test_truncation_is_told_by_the_stop_reason() -> None:
    assert Generation("x", "length").truncated
    assert not Generation("x").truncated


def test_a_broken_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    broken = EntryPoint("broken", "no_such_module_at_all", "waterbed.suites")
    monkeypatch.setattr("waterbed.harness.plugins.entry_points", lambda group: [broken])
    with pytest.raises(UsageError, match="no_such_module_at_all"):
        Registry[int]("suite", "waterbed.suites").all()
