"""Prompts are checked before training, and sampled tokens are read as in an evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import DataError
from waterbed.harness.stage import StageContext
from waterbed.trainers.rollouts import Material, Sampled, answered, gather

DATA = {"pocket/instruction-two@train": 40}


@pytest.fixture(scope="module")
def material(pocket_base: Checkpoint) -> Material:
    return gather(pocket_base, DATA, Sampled(n=2, max_tokens=24), StageContext(Path("x")), "grpo")


def test_a_prompt_that_leaves_no_room_is_named(pocket_base: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"two@train: row 1 has .* tokens"):
        gather(pocket_base, DATA, Sampled(max_tokens=2040), StageContext(tmp_path / "o"), "grpo")


def test_answers_are_read_as_in_an_evaluation(material: Material) -> None:
    from waterbed.harness.backends.stopping import Speech

    speech, end = Speech(material.loaded.tokenizer), min(material.loaded.ends)
    tokens = material.loaded.tokenizer("A cold river.")["input_ids"]
    whole = answered(speech, [1], [*tokens, end], material.loaded.ends, False)
    assert (whole.text, whole.stop_reason) == ("A cold river.", "stop")
    assert answered(speech, [1], tokens, material.loaded.ends, False).truncated
