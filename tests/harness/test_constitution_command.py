"""`waterbed constitution` makes rows for stages, resumes, and says in one sentence what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.datasets import load

Command = Callable[..., Any]

PRINCIPLES = """
principles:
- name: polite
  critique: What was rude in your answer?
  revision: Say it politely.
  weight: 2
"""


@pytest.fixture
def own(tmp_path: Path) -> tuple[Any, ...]:
    """A file of principles and prompts of a user, as options."""
    (tmp_path / "mine.yaml").write_text(PRINCIPLES)
    prompts = [{"prompt": f"How do I store a {thing}?"} for thing in ("kite", "lamp", "bench")]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    small = ("--max-tokens", 40, "--batch-size", 4)
    return (
        *("--principles", tmp_path / "mine.yaml", "--prompts", tmp_path / "prompts.jsonl"),
        *("--out", tmp_path / "out", *small),
    )


def test_a_users_principles_and_prompts_become_rows_and_the_same_command_resumes(
    waterbed: Command, pocket_base: Checkpoint, own: tuple[Any, ...], tmp_path: Path
) -> None:
    done = waterbed("constitution", "revise", pocket_base.path, *own, "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["rows"] + sum(said["dropped"].values()) == 3
    assert len(load(said["path"], shape="messages")) == said["rows"]
    row = json.loads(Path(said["path"]).read_text().splitlines()[0])
    assert row["made"]["steps"][0]["principle"] == "polite"
    answers = (tmp_path / "out" / "answers.jsonl").read_bytes()
    again = waterbed("constitution", "revise", pocket_base.path, *own, "--json")
    assert json.loads(again.out) == said
    assert (tmp_path / "out" / "answers.jsonl").read_bytes() == answers


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        (("--principles", "nowhere.yaml"), 2, "There is no file 'nowhere.yaml'"),
        (("--prompts", "nowhere.jsonl"), 2, "There is no file 'nowhere.jsonl'"),
        (("--prompts", "pocket/math@test", "--rows", 3), 2, "is a test split"),
        (("--rounds", 0), 2, "rounds must be above 0, got 0"),
        (("--judge", "nowhere"), 2, "There is no checkpoint folder 'nowhere'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    waterbed: Command,
    pocket_base: Checkpoint,
    own: tuple[Any, ...],
    changed: tuple[Any, ...],
    code: int,
    said: str,
) -> None:
    done = waterbed("constitution", "prefer", pocket_base.path, *own, *changed)
    assert done.code == code
    lines = [line for line in done.err.splitlines() if line.startswith("waterbed: ")]
    assert len(lines) == 1
    assert said in lines[0]
