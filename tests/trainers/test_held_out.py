"""What is watched is asked on prompts that are not trained on, with the same draws at every look."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.held_out import Watched, held_out
from waterbed.trainers.rollouts import Material, Sampled, gather

FEW = Sampled(n=2, max_tokens=24)
CONTEXT = StageContext(Path("x"))


@pytest.fixture(scope="module")
def material(pocket_base: Checkpoint) -> Material:
    return gather(pocket_base, {"pocket/instruction-two@train": 40}, FEW, CONTEXT, "grpo")


def test_a_look_repeats_itself_and_changes_nothing(material: Material) -> None:
    model, state = material.loaded.model.train(), torch.get_rng_state()
    watched = Watched(data={"pocket/instruction-prompts@dev": 24})
    with held_out(watched, material, FEW, CONTEXT) as asked:
        assert asked is not None
        first, again = asked.score(model), asked.score(model)
    assert first == again
    assert 0 < first < 1
    assert model.training and torch.equal(torch.get_rng_state(), state)
    with held_out(None, material, FEW, CONTEXT) as nothing:
        assert nothing is None


def test_a_look_sees_the_weights_of_now(material: Material) -> None:
    watched = Watched(data={"pocket/instruction-prompts@dev": 24})
    head = material.loaded.model.get_input_embeddings().weight
    with held_out(watched, material, FEW, CONTEXT) as asked, torch.no_grad():
        assert asked is not None
        before, kept = asked.score(material.loaded.model), head.clone()
        head.mul_(-1)
        after = asked.score(material.loaded.model)
        head.copy_(kept)
    assert after < before


def test_prompts_that_are_trained_on_and_a_test_split_are_refused(
    material: Material, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    same = Watched(data={"pocket/instruction-two@train": 40})
    with (
        pytest.raises(UsageError, match=r"40 of 40 prompts in watched\.data .*name another split"),
        held_out(same, material, FEW, CONTEXT),
    ):
        pass
    given = {"data": {"pocket/instruction-two@train": 8}, "sampled": {"n": 2}, "batch_size": 8}
    for data, said in (
        ({}, "must name a dataset"),
        ({"pocket/chat-prompts@test": 8}, "test split"),
    ):
        for do in (stages.get("ppo").run, stages.get("ppo").plan):
            with pytest.raises(UsageError, match=said):
                do(pocket_base, StageContext(tmp_path / "out"), **given, watched={"data": data})
