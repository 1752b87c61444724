"""The reward model: Bradley-Terry's loss, a folder that scores, and pairs it has never seen put right."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint, open_checkpoint
from waterbed.harness.errors import CheckpointError, UsageError
from waterbed.harness.records import Generation, Message
from waterbed.harness.reward_models import RewardModel
from waterbed.harness.stage import StageContext, stages
from waterbed.suites.pocket.domains import POCKET
from waterbed.suites.pocket.preferences import pair
from waterbed.trainers.pairs import gather
from waterbed.trainers.reward_model import RewardModelConfig, job

REFERENCE = "pocket/chat-preferences@train"


def run(base: Checkpoint, out: Path, seed: int = 0, **settings: Any) -> Checkpoint:
    few = {"data": {REFERENCE: 16}, "batch_size": 8, **settings}
    return stages.get("reward-model").run(base, StageContext(out, seed=seed), **few)


@pytest.fixture(scope="module")
def trained(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("reward") / "model"
    return run(pocket_base, out, data={REFERENCE: 320}, batch_size=32, lr=1e-3)


@pytest.mark.parametrize("center", [0.0, 0.5])
def test_the_loss_is_bradley_and_terrys(
    pocket_base: Checkpoint, by_hand: ModuleType, tmp_path: Path, center: float
) -> None:
    import torch

    context = StageContext(tmp_path / "out")
    material = gather(pocket_base, {REFERENCE: 6}, None, context, "reward-model")
    made = job(material, RewardModelConfig(data={REFERENCE: 6}, center=center), context)
    arguments = made.arguments(
        output_dir=str(tmp_path / "work"),
        per_device_train_batch_size=6,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        **made.method,
    )
    trainer = made.trainer(
        model=made.model,
        args=arguments,
        train_dataset=made.dataset,
        processing_class=made.tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    loss = float(trainer.compute_loss(trainer.model, batch).detach())

    def reward(tokens: tuple[int, ...]) -> float:
        with torch.no_grad():
            hidden_1td = made.model.base_model(input_ids=torch.tensor([tokens])).last_hidden_state
            return float(made.model.score(hidden_1td[0, -1]))

    rewards = [(reward(p.chosen.tokens), reward(p.rejected.tokens)) for p in material.pairs]
    wanted = by_hand.mean([by_hand.bradley_terry(c, r) + center * (c + r) ** 2 for c, r in rewards])
    assert loss == pytest.approx(wanted, rel=1e-4)


def test_it_puts_pairs_right_that_it_has_never_seen(trained: Checkpoint) -> None:
    rng, model = Random(0), RewardModel(trained)
    rows = [pair(item, rng) for item in POCKET["chat"].distinct("dev", 200)]
    prompts = [tuple(Message(**turn) for turn in row["prompt"]) for row in rows]
    chosen, rejected = (
        model.score(prompts, [Generation(row[side][0]["content"]) for row in rows])
        for side in ("chosen", "rejected")
    )
    right = [c.value > r.value for c, r in zip(chosen, rejected, strict=True)]
    assert sum(right) >= 0.9 * len(right)


def test_the_folder_is_a_checkpoint_with_its_lineage_and_no_language_model(
    pocket_base: Checkpoint, trained: Checkpoint
) -> None:
    config = json.loads((trained.path / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert open_checkpoint(trained.path).digest == trained.digest
    assert (trained.parent, trained.stage) == (pocket_base.digest, "reward-model")
    with pytest.raises(CheckpointError, match="is a reward model, not a language model"):
        load(trained.path, "cpu", "float32", trust_remote_code=False)


def test_a_reward_model_is_nothing_to_train_a_language_model_from(
    trained: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="is a reward model, not a language model"):
        stages.get("dpo").run(trained, StageContext(tmp_path / "out"), data={REFERENCE: 8})


def test_the_same_seed_gives_the_same_digest_and_another_another(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    first, again, other = (
        run(pocket_base, tmp_path / str(i), seed=s) for i, s in enumerate((0, 0, 1))
    )
    assert first.digest == again.digest != other.digest


def test_an_adapter_is_merged_and_its_head_kept(pocket_base: Checkpoint, tmp_path: Path) -> None:
    made = run(pocket_base, tmp_path / "out", lora={"rank": 4})
    assert not list(made.path.glob("adapter*"))
    [score] = RewardModel(made).score([(Message("user", "Hi"),)], [Generation("Hello!")])
    assert score.scored


def test_a_wrong_setting_is_named_with_its_value(pocket_base: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="center must be at least 0, got -1"):
        run(pocket_base, tmp_path / "out", center=-1.0)
