"""Killed in mid-stage, the stages on pairs go on to the checkpoint they would have made."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.stage import StageContext, stages

SETTINGS: dict[str, Any] = {
    "data": {"pocket/chat-preferences@train": 48},
    "batch_size": 8,
    "save_every": 2,
}


def killed(name: str, base: Checkpoint, out: Path, at: int) -> None:
    """Run a stage in a child that is killed in step `at`."""

    def die(what: str, done: int, total: int) -> None:
        if done == at:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            stages.get(name).run(base, StageContext(out, progress=die), **SETTINGS)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("name", ["dpo", "kto", "orpo", "reward-model"])
def test_a_killed_stage_goes_on_to_the_same_digest(
    pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    whole = stages.get(name).run(pocket_base, StageContext(tmp_path / "whole"), **SETTINGS)
    out, steps = tmp_path / "out", []
    killed(name, pocket_base, out, at=5)
    assert not out.exists()
    context = StageContext(out, progress=lambda what, done, total: steps.append(done))
    again = stages.get(name).run(pocket_base, context, **SETTINGS)
    assert steps[0] == 5  # the state after step 4 was kept
    assert again.digest == whole.digest
    assert told(tmp_path / "out.metrics.jsonl") == told(tmp_path / "whole.metrics.jsonl")


def told(path: Path) -> list[int]:
    """The steps that have metrics; a loss there is a mean since the last such step or the kill."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line["step"] for line in lines]
