"""ORPO: its loss is the paper's, it needs no reference, and it learns which answer is liked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from waterbed.harness.backends.loading import Loaded
from waterbed.harness.backends.loading import load as load_model
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.datasets import load
from waterbed.harness.errors import DataError, UnknownName, UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.orpo import batch_loss, collate, columns, log_odds
from waterbed.trainers.pairs import Pair, encode_pairs

DATA = {"pocket/chat-preferences@train": 64}


@pytest.fixture(scope="module")
def base(pocket_base: Checkpoint) -> Loaded:
    """The pocket base, shaken: where answers are almost certain, odds hang on the last bits."""
    import torch

    loaded = load_model(pocket_base.path, "cpu", "float32", trust_remote_code=False)
    torch.manual_seed(1)
    for weight in loaded.model.parameters():
        weight += 0.1 * torch.randn_like(weight)
    return loaded


@pytest.fixture(scope="module")
def pairs(base: Loaded) -> list[Pair]:
    rows = load("pocket/chat-preferences@train", shape="preference", n=6)
    return encode_pairs([(str(i), row) for i, row in enumerate(rows)], base.tokenizer, None)


def run(base: Checkpoint, out: Path, **settings: Any) -> Checkpoint:
    return stages.get("orpo").run(base, StageContext(out), **{"data": DATA, **settings})


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_the_loss_is_the_papers(
    base: Loaded, pairs: list[Pair], by_hand: ModuleType, weight: float
) -> None:
    logps = [
        [by_hand.answer_logps(base.model, side.tokens, sum(side.said)) for side in sides]
        for sides in ((pair.chosen, pair.rejected) for pair in pairs)
    ]
    nll = -by_hand.mean([logp for chosen, _ in logps for logp in chosen])
    wanted = by_hand.mean([by_hand.orpo(c, r, nll, weight) for c, r in logps])
    loss = batch_loss(base.model, collate([columns(pair) for pair in pairs]), weight)
    assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_only_the_last_answer_counts(base: Loaded) -> None:
    row = {
        "prompt": [
            {"role": "user", "content": "How do I dry a cup at night?"},
            {"role": "assistant", "content": "Sure!"},
            {"role": "user", "content": "And a boat?"},
        ],
        "chosen": [{"role": "assistant", "content": "Let the air in."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    batch = collate([columns(*encode_pairs([("row 1", row)], base.tokenizer, None))])
    for side, answer in enumerate(("Let the air in.", "No.")):
        said = batch["input_ids"][side][batch["answer_mask"][side].bool()]
        assert base.tokenizer.decode(said) == answer + base.tokenizer.eos_token


def test_the_odds_of_an_answer_that_is_certain_stay_finite() -> None:
    import torch

    logp_b = torch.tensor([0.0, -1e-9, -1e-4, -3.0], requires_grad=True)
    odds_b = log_odds(logp_b)
    odds_b.sum().backward()
    assert bool(torch.isfinite(odds_b).all())
    assert logp_b.grad is not None and bool(torch.isfinite(logp_b.grad).all())
    assert float(odds_b[3].detach()) == pytest.approx(math.log(math.exp(-3) / (1 - math.exp(-3))))


def test_training_lowers_the_loss_and_is_reproducible(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    settings = {"epochs": 4, "batch_size": 16}
    first = run(pocket_base, tmp_path / "a", **settings)
    again = run(pocket_base, tmp_path / "b", **settings)
    assert first.digest == again.digest != pocket_base.digest
    assert (first.stage, first.parent) == ("orpo", pocket_base.digest)
    lines = (tmp_path / "a.metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["loss"] < json.loads(lines[0])["loss"] * 0.8


def test_a_batch_in_parts_has_the_loss_of_the_whole(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    """Nearly: L_SFT is a mean over tokens, and parts hold answers of different lengths."""
    losses = []
    for parts in (1, 2):
        run(pocket_base, tmp_path / f"{parts}", max_steps=1, accumulate=parts)
        text = (tmp_path / f"{parts}.metrics.jsonl").read_text(encoding="utf-8")
        losses.append(json.loads(text)["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize("setting", [{"weight": 0.0}, {"lr": -1.0}, {"batch_size": 0}])
def test_wrong_settings_are_named(
    pocket_base: Checkpoint, tmp_path: Path, setting: dict[str, Any]
) -> None:
    name, value = next(iter(setting.items()))
    with pytest.raises(UsageError, match=f"{name} must be above 0, got {value}"):
        run(pocket_base, tmp_path / "out", **setting)


def test_a_setting_of_another_method_is_unknown(pocket_base: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="setting of stage 'orpo' 'beta'"):
        run(pocket_base, tmp_path / "out", beta=0.1)


def test_a_pair_that_is_too_long_is_named_before_training(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"pocket/chat-preferences@train: row \d+ has \d+ tokens"):
        run(pocket_base, tmp_path / "out", longest=20)
    assert not list(tmp_path.iterdir())
