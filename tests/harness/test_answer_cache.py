"""Greedy answers are computed once: shared by equal models, never by another one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from waterbed.harness.answer_cache import AnswerCache
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import Choice, Generation
from waterbed.harness.run import Run

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def own_cache(pocket_base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the base was taken from the machine's cache, every test has a cache of its own."""
    monkeypatch.setenv("WATERBED_CACHE", str(tmp_path / "cache"))


def copy(base: Path, out: Path) -> Path:
    shutil.copytree(base, out)
    return out


def resharded(base: Path, out: Path) -> Path:
    copy(base, out)
    tensors = load_file(out / "model.safetensors")
    (out / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"a.safetensors": names[: len(names) // 2], "b.safetensors": names[len(names) // 2 :]}
    for file, own in halves.items():
        save_file({n: tensors[n] for n in own}, out / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: f for f, own in halves.items() for n in own}}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))
    return out


def one_bit_of_weight(base: Path, out: Path) -> Path:
    file = copy(base, out) / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-4] ^= 1
    file.write_bytes(data)
    return out


def another_generation_config(base: Path, out: Path) -> Path:
    file = copy(base, out) / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "repetition_penalty": 1.5}))
    return out


def another_template(base: Path, out: Path) -> Path:
    file = copy(base, out) / "chat_template.jinja"
    file.write_text(file.read_text() + " ")
    return out


def evaluated(waterbed: Command, checkpoint: Path, out: Path) -> Run:
    done = waterbed("eval", checkpoint, "-s", "pocket/tools", "--limit", 12, "--out", out)
    assert done.code == 0, done.err
    return Run.open(out)


@pytest.mark.parametrize(
    ("change", "hits"),
    [(copy, 12), (resharded, 12), (one_bit_of_weight, 0), (another_generation_config, 0)],
)
def test_a_copy_in_other_shards_is_a_hit_and_one_changed_byte_is_not(
    waterbed: Command,
    pocket_base: Checkpoint,
    tmp_path: Path,
    change: Callable[[Path, Path], Path],
    hits: int,
) -> None:
    first = evaluated(waterbed, pocket_base.path, tmp_path / "first")
    assert first.manifest["cost"]["cached_answers"] == 0
    changed = change(pocket_base.path, tmp_path / "changed")
    again = evaluated(waterbed, changed, tmp_path / "again")
    assert again.manifest["cost"]["cached_answers"] == hits
    if hits:
        assert again.scores().equals(first.scores())


def test_a_changed_chat_template_is_another_model(
    waterbed: Command, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    evaluated(waterbed, pocket_base.path, tmp_path / "first")
    changed = another_template(pocket_base.path, tmp_path / "changed")
    assert evaluated(waterbed, changed, tmp_path / "again").manifest["cost"]["cached_answers"] == 0


def test_answers_survive_and_the_first_under_a_key_stays(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    cache.add({"x": Generation("\ud800"), "y": Choice((-1.5,), (2,))})
    cache.add({"x": Generation("other")})
    found = AnswerCache(tmp_path / "a.sqlite").find(["x", "y", "z"])
    assert found == {"x": Generation("\ud800"), "y": Choice((-1.5,), (2,))}


def test_a_damaged_cache_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("not a database")
    assert AnswerCache(tmp_path / "a.sqlite").find(["x"]) == {}
    AnswerCache(tmp_path / "a.sqlite").add({"x": Generation("y")})
    torn = AnswerCache(tmp_path / "b.sqlite")
    torn.add({"x": Generation("y")})
    with sqlite3.connect(tmp_path / "b.sqlite") as database:
        database.execute("UPDATE answers SET answer = '{torn'")
    database.close()
    assert torn.find(["x"]) == {}


def test_many_keys_are_found_in_one_call(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    answers = {str(n): Generation(str(n)) for n in range(1700)}
    cache.add(answers)
    assert cache.find(answers) == answers
